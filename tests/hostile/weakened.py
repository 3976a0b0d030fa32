"""Tests that are made to see less, in the ways of many languages; each pair is one test file before and after."""

from __future__ import annotations

from tests.hostile.workspace import TEST_FILES, TESTS, Case, update

from lonelycat.changes.changeset import FileChange

_ASSERT = b"    assert total([1, 2]) == 3\n"
_TEST = b"def test_total():\n"


def _python(name: str, old: bytes, new: bytes) -> Case:
    assert TESTS.count(old) == 1, old
    return Case(f"weakened: {name}", lambda: [update("tests/test_core.py", TESTS.replace(old, new))], "WEAKENED_TESTS")


PYTHON = (
    _python("an alternative that is true", _ASSERT, _ASSERT.replace(b"3\n", b"3 or 1\n")),
    _python("a tuple for an assertion", _ASSERT, b'    assert (total([1, 2]) == 3, "adds up")\n'),
    _python("a list for an assertion", _ASSERT, b"    assert [total([1, 2]) == 3]\n"),
    _python("compared with itself", _ASSERT, b"    assert total([1, 2]) == total([1, 2])\n"),
    _python(
        "failure is caught", _ASSERT, b"    try:\n    " + _ASSERT + b"    except Exception as e:\n        print(e)\n"
    ),
    _python("failure is suppressed", _ASSERT, b"    with suppress(AssertionError):\n    " + _ASSERT),
    _python("any exception will do", b"raises(ValueError)", b"raises(Exception)"),
    _python("one of any exceptions", b"raises(ValueError)", b"raises((ValueError, BaseException))"),
    _python("inner function", _TEST, _TEST + b"  def inner():\n"),
    _python("returns nothing first", _TEST, _TEST + b"    return None\n"),
    _python("returns first, with a comment", _TEST, _TEST + b"    return  # later\n"),
    _python("yields first", _TEST, _TEST + b"    yield\n"),
    _python("never loops", _ASSERT, b"    while False:\n    " + _ASSERT),
    _python("loops over nothing", _ASSERT, b"    for _ in ():\n    " + _ASSERT),
    _python("becomes a fixture", _TEST, b"@pytest.fixture\n" + _TEST),
    _python("has nothing to run with", _TEST, b"@pytest.mark.parametrize('x', [])\n" + _TEST),
    _python("runs until it passes", _TEST, b"@pytest.mark.flaky(reruns=50)\n" + _TEST),
    _python("is taken away", b"def test_refuses", b"del test_total\n\n\ndef test_refuses"),
    _python("is set to nothing", b"def test_refuses", b"test_total = None\n\n\ndef test_refuses"),
    _python("is told to be none", b"def test_refuses", b"test_total.__test__ = 0\n\n\ndef test_refuses"),
)

_RUST = "#[test]\nfn a() {\n    assert_eq!(f(), 1);\n}\n"
_GO = "package a\n\nfunc TestA(t *testing.T) {\n\tif f() != 1 {\n\t\tt.Fatal(1)\n\t}\n}\n"
_JS = 'it("a", () => { expect(f()).toBe(1); });\nit("b", () => { expect(g()).toBe(1); });\n'
_RUBY = 'it "a" do\n  expect(f).to eq(1)\nend\n'
_JAVA = "class A {\n  @Test\n  void adds() {\n    assertEquals(1, f());\n  }\n}\n"
_CSHARP = "class A {\n  [Fact]\n  public void TestA() {\n    Assert.Equal(1, F());\n  }\n}\n"
_PHP = "<?php\nclass ATest {\n  public function testA() {\n    $this->assertSame(1, f());\n  }\n}\n"
_BATS = '@test "a" {\n  run x\n  [ "$status" = 0 ]\n}\n'
_PAIRS = (
    ("Rust: ignored", "a.rs", _RUST, _RUST.replace("fn", "#[ignore]\nfn")),
    ("Rust: ignored on a condition", "a.rs", _RUST, _RUST.replace("fn", "#[cfg_attr(all(), ignore)]\nfn")),
    ("Rust: may panic", "a.rs", _RUST, _RUST.replace("fn", "#[should_panic]\nfn")),
    ("Rust: never compiled", "a.rs", _RUST, "#![cfg(never)]\n" + _RUST),
    ("Rust: not compiled here", "a.rs", _RUST, "#[cfg(never)]\n" + _RUST),
    ("Rust: not compiled here, below", "a.rs", _RUST, _RUST.replace("fn", "#[cfg(never)]\nfn")),
    ("Rust: no test any more", "a.rs", _RUST, _RUST.replace("#[test]\n", "")),
    ("Go: not built", "a_test.go", _GO, "//go:build ignore\n\n" + _GO),
    ("Go: a main that runs nothing", "a_test.go", _GO, _GO + "\nfunc TestMain(m *testing.M) {}\n"),
    (
        "Go: only when short",
        "a_test.go",
        _GO,
        _GO.replace("\tif f", "\tif !testing.Short() {\n\t\treturn\n\t}\n\tif f"),
    ),
    ("JavaScript: one alone", "a.test.js", _JS, _JS.replace('it("a"', 'fit("a"')),
    ("JavaScript: has to fail", "a.test.js", _JS, _JS.replace('it("a"', 'it.fails("a"')),
    ("JavaScript: returns on the line", "a.test.js", _JS, _JS.replace("{ expect(f", "{ return; expect(f")),
    ("Ruby: pending", "a_spec.rb", _RUBY, _RUBY.replace("  expect", "  pending\n  expect")),
    ("Ruby: crossed out", "a_spec.rb", _RUBY, "x" + _RUBY),
    ("Ruby: one fewer", "a_spec.rb", _RUBY + _RUBY.replace('"a"', '"b"'), _RUBY),
    ("Java: assumed away", "ATest.java", _JAVA, _JAVA.replace("    assert", "    assumeTrue(false);\n    assert")),
    ("Java: not enabled", "ATest.java", _JAVA, _JAVA.replace("@Test", "@Test(enabled = false)")),
    ("Java: enabled elsewhere", "ATest.java", _JAVA, _JAVA.replace("@Test", "@Test @EnabledOnOs(OS.AIX)")),
    ("Java: no test any more", "ATest.java", _JAVA, _JAVA.replace("  @Test\n", "")),
    ("C#: skipped", "ATests.cs", _CSHARP, _CSHARP.replace("[Fact]", '[Fact(Skip = "x")]')),
    ("C#: no test any more", "ATests.cs", _CSHARP, _CSHARP.replace("  [Fact]\n", "")),
    ("PHP: marked as skipped", "ATest.php", _PHP, _PHP.replace("    $", "    $this->markTestSkipped();\n    $")),
    ("PHP: no test any more", "ATest.php", _PHP, _PHP.replace("testA", "aTest")),
    ("bats: any status", "a.bats", _BATS, _BATS.replace("0 ]", "0 ] || true")),
    ("shell: any status", "a.sh", "set -e\n./app | grep ok\n", "set -e\n./app | grep ok || :\n"),
    ("shell: leaves first", "a.sh", "set -e\n./app | grep ok\n", "exit 0\nset -e\n./app | grep ok\n"),
)


def _other(number: int, name: str, file: str, old: str, new: str) -> Case:
    path = f"tests/other{number:02}/{file}"
    TEST_FILES[path] = old.encode()
    return Case(f"weakened: {name}", lambda: [FileChange.update(path, old, new)], "WEAKENED_TESTS")


CASES = (*PYTHON, *(_other(number, *pair) for number, pair in enumerate(_PAIRS)))
