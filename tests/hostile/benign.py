"""Everyday changes that the gate has to let pass: a gate that holds everything is switched off."""

from __future__ import annotations

from tests.hostile.workspace import FILES, TESTS, Case, append, create, delete, edit, rename, update

_PINNED = b"3b1f9c0d5a7e2846c1d0f9e8b7a6958473625140"
_DIGEST = b"sha256:" + b"a1" * 32

BUMPS = (
    Case("action at the next tag", lambda: [edit(".github/workflows/lint.yml", b"setup@v4", b"setup@v5")]),
    Case("hook at the next tag", lambda: [edit(".pre-commit-config.yaml", b"v1.2.0", b"v1.10.0")]),
    Case(
        "action at the commit of the next tag",
        lambda: [
            edit(".github/workflows/lint.yml", _PINNED + b" # v2.0.0", b"b2" * 20 + b" # v2.1.0"),
            edit(".pre-commit-config.yaml", b"rev: " + _PINNED, b"rev: " + b"c1" * 20),
        ],
    ),
    Case(
        "tag that becomes its commit",
        lambda: [edit(".github/workflows/lint.yml", b"setup@v4", b"setup@" + b"a4" * 20 + b" # v4.0.0")],
    ),
    Case(
        "one more version to test with",
        lambda: [edit(".github/workflows/matrix.yml", b'"3.12"]', b'"3.12", "3.13"]')],
    ),
    Case(
        "newer images",
        lambda: [
            update(
                ".github/workflows/matrix.yml",
                FILES[".github/workflows/matrix.yml"]
                .replace(b"ubuntu-22.04", b"ubuntu-24.04")
                .replace(b"[ubuntu-20.04", b"[ubuntu-24.04"),
            ),
            edit(".readthedocs.yaml", b"ubuntu-22.04", b"ubuntu-24.04"),
        ],
    ),
    Case("fewer rights", lambda: [edit(".github/workflows/matrix.yml", b"contents: read", b"contents: none")]),
    Case("words of CI", lambda: [edit(".github/workflows/matrix.yml", b"# everything", b"# All of it.")]),
    Case(
        "who it is by",
        lambda: [edit("pyproject.toml", b'version = "1.0"\n', b'version = "1.0"\nauthors = [{name = "Ann"}]\n')],
    ),
    Case("requirement", lambda: [edit("requirements.txt", b"2.31.0", b"2.32.3")]),
    Case(
        "requirement with its hash",
        lambda: [
            update(
                "requirements/hashed.txt",
                FILES["requirements/hashed.txt"]
                .replace(b"8.1.7", b"8.1.8")
                .replace(_DIGEST, b"sha256:" + b"c3" * 32)
                .replace(b"# via app", b"# via app, other"),
            )
        ],
    ),
    Case("least version", lambda: [edit("requirements/limits.txt", b">=1.0,", b">=1.6,")]),
    Case("dependency of the project", lambda: [edit("pyproject.toml", b"requests>=2.31", b"requests>=2.32")]),
    Case("own version", lambda: [edit("pyproject.toml", b'version = "1.0"', b'version = "1.1"')]),
    Case("locked package", lambda: [edit("uv.lock", b'"2.31.0"', b'"2.32.0"')]),
    Case(
        "locked package with its checksum",
        lambda: [
            update("Cargo.lock", FILES["Cargo.lock"].replace(b'"0.1.0"', b'"0.1.1"').replace(b"b2" * 32, b"c3" * 32))
        ],
    ),
    Case(
        "package of npm and its lock",
        lambda: [
            edit("package.json", b'"4.19.2"', b'"4.21.0"'),
            update(
                "package-lock.json",
                FILES["package-lock.json"].replace(b"4.19.2", b"4.21.0").replace(b"A" * 86, b"B" * 86),
            ),
        ],
    ),
    Case("last line ended", lambda: [append("package.json", b"\n")]),
)
"""What a policy that `init` writes lets pass; the project's own default is stricter about dependencies and CI."""

CASES = (
    Case("manual extended", lambda: [append("docs/index.md", b"\n## More\n")]),
    Case("documentation below a directory named build", lambda: [append("docs/build/notes.md", b"More.\n")]),
    Case("readme corrected", lambda: [edit("README.md", b"numbers up", b"numbers")]),
    Case("change noted", lambda: [append("CHANGELOG.md", b"- Second.\n")]),
    Case("new page", lambda: [create("docs/faq.md", "# Questions\n\nNone yet.\n")]),
    Case("page in another language", lambda: [create("docs/ru.md", "# Привет\n\nЭто сложение чисел.\n")]),
    Case("page in a right-to-left script", lambda: [create("docs/he.md", "# שלום\n\nחיבור מספרים.\n")]),
    Case("emoji", lambda: [append("README.md", "Made with ❤️ by 👩‍💻.\n".encode())]),
    Case("page moved", lambda: [rename("docs/index.md", "docs/manual.md")]),
    Case("page deleted", lambda: [delete("docs/build/notes.md")]),
    Case(
        "new picture of a kind that is here",
        lambda: [create("docs/new.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(80))],
    ),
    Case("function changed", lambda: [edit("src/app/core.py", b"sum(numbers)", b"sum(numbers, start=0)")]),
    Case(
        "function added",
        lambda: [append("src/app/core.py", b"\n\ndef mean(numbers):\n    return total(numbers) / len(numbers)\n")],
    ),
    Case(
        "module added",
        lambda: [create("src/app/mean.py", "def mean(numbers):\n    return sum(numbers) / len(numbers)\n")],
    ),
    Case("module moved", lambda: [rename("src/app/plugins/p00.py", "src/app/plugins/first.py")]),
    Case("module deleted", lambda: [delete("src/app/plugins/p01.py")]),
    Case("three modules deleted", lambda: [delete(f"src/app/plugins/p0{n}.py") for n in (1, 2, 3)]),
    Case("several modules changed", lambda: [update(f"src/app/plugins/p{n:02}.py", b"NAME = 'x'\n") for n in range(8)]),
    Case("JavaScript changed", lambda: [edit("src/app/web.js", b"8080", b"8081")]),
    Case("data changed", lambda: [edit("src/app/data.json", b"10", b"20")]),
    Case(
        "placeholder for a secret",
        lambda: [create("src/app/settings.py", "import os\n\nTOKEN = os.environ['TOKEN']\n")],
    ),
    Case("example of a key", lambda: [append("docs/index.md", b'Set `password = "changeme"` first.\n')]),
    Case("example environment", lambda: [create(".env.example", "TOKEN=\n")]),
    Case(
        "test added",
        lambda: [update("tests/test_core.py", TESTS + b"\n\ndef test_none():\n    assert total([0]) == 0\n")],
    ),
    Case(
        "assertion added",
        lambda: [update("tests/test_core.py", TESTS.replace(b"== 0\n", b"== 0\n    assert total([5]) == 5\n"))],
    ),
    Case(
        "expected value corrected",
        lambda: [update("tests/test_core.py", TESTS.replace(b"total([1, 2]) == 3", b"total([1, 3]) == 4"))],
    ),
    Case(
        "assertions said as a warning that is expected",
        lambda: [
            update(
                "tests/test_core.py",
                TESTS.replace(
                    b'    assert parse("1,2") == [1, 2]\n',
                    b'    with pytest.warns(UserWarning):\n        parse("1,2")\n',
                ),
            )
        ],
    ),
    Case("new test file", lambda: [create("tests/test_mean.py", "def test_mean():\n    assert 1 == 1 + 0\n")]),
    Case(
        "JavaScript test added", lambda: [append("tests/web.test.js", b'test("host", () => { expect(2).toBe(2); });\n')]
    ),
    Case(
        "feature with test and manual",
        lambda: [
            append("src/app/core.py", b"\n\ndef top(numbers):\n    return max(numbers)\n"),
            update("tests/test_core.py", TESTS + b"\n\ndef test_top():\n    assert max([1, 2]) == 2\n"),
            append("docs/index.md", b"Call `top`.\n"),
            append("CHANGELOG.md", b"- `top`.\n"),
        ],
    ),
    Case("script changed, mode kept", lambda: [edit("scripts/run.sh", b"exec python", b"exec python3")]),
    Case("ignored files", lambda: [append(".gitignore", b"dist/\n")]),
    Case("editor settings that run nothing", lambda: [append(".editorconfig", b"[*]\nindent_size = 4\n")]),
    Case("template of an issue", lambda: [create(".github/ISSUE_TEMPLATE/bug.md", "What happened?\n")]),
    Case("fixture", lambda: [create("tests/data/input.csv", "a,b\n1,2\n")]),
)
