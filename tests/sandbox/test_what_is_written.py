"""What a command wrote is told: what, where, and whether its profile declared it. Nothing of it is kept.

The way into the sandbox has no part in it, so each test runs with the best one only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.sandbox.conftest import Verify

from lonelycat.checks.result import CheckResult

pytestmark = pytest.mark.usefixtures("untouched")
STEPS = "import os, pathlib\nP = pathlib.Path\n"


@pytest.fixture(params=["overlay", "copy"])
def verify(verify: Verify, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Each test with an overlay of the workspace and with a copy of it, where no overlay can be had."""
    if request.param == "copy":
        from lonelycat.checks.sandbox import launch

        made = launch.Spec
        monkeypatch.setattr(launch, "Spec", lambda **fields: made(**{**fields, "overlays": False}))
    return verify


@pytest.fixture
def tree(workspace: Path) -> Path:
    """More to write to; made before anybody looks whether it is untouched."""
    for path in ("a/b/one", "a/b/two", "a/three", "plain"):
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text("old\n")
    (workspace / "link").symlink_to("plain")
    (workspace / "empty").mkdir()
    return workspace


@pytest.fixture
def untouched(tree: Path, untouched: None) -> None:
    """The order: first the tree, then the look at it."""


def effects(result: CheckResult, place: str = "workspace") -> dict[str, Any]:
    found = result.details["effects"]
    assert isinstance(found, dict)
    there: dict[str, Any] = {
        kind: found[place][kind] for kind in ("created", "changed", "deleted") if found[place][kind]
    }
    return there


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", {}),
        ("P('new').write_text('x')", {"created": ["new"]}),
        ("P('plain').write_text('new')", {"changed": ["plain"]}),
        ("P('plain').unlink()", {"deleted": ["plain"]}),
        ("P('plain').unlink(); P('plain').write_text('new')", {"changed": ["plain"]}),
        ("P('plain').chmod(0o755)", {"changed": ["plain"]}),
        ("P('plain').rename('other')", {"created": ["other"], "deleted": ["plain"]}),
        ("P('link').unlink(); os.symlink('kept.txt', 'link')", {"changed": ["link"]}),
        ("P('new').mkdir()", {"created": ["new/"]}),
        ("P('new/deep').mkdir(parents=True); P('new/deep/f').write_text('x')", {"created": ["new/deep/f"]}),
        ("P('a/b/one').unlink(); P('a/b/two').unlink(); P('a/b').rmdir()", {"deleted": ["a/b/one", "a/b/two"]}),
        (
            "P('a/b/one').unlink(); P('a/b/two').unlink(); P('a/b').rmdir(); P('a/b').mkdir(); P('a/b/one').touch()",
            {"changed": ["a/b/one"], "deleted": ["a/b/two"]},
        ),
        (
            "P('plain').unlink(); P('plain').mkdir(); P('plain/f').write_text('x')",
            {"created": ["plain/f"], "deleted": ["plain"]},
        ),
        (
            "P('a/b/one').unlink(); P('a/b/two').unlink(); P('a/b').rmdir(); P('a/b').write_text('x')",
            {"created": ["a/b"], "deleted": ["a/b/one", "a/b/two"]},
        ),
        ("P('temporary').write_text('x'); P('temporary').unlink()", {}),
        ("os.mkfifo('fifo')", {"created": ["fifo"]}),
    ],
)
def test_each_kind_of_write(verify: Verify, code: str, expected: dict[str, list[str]]) -> None:
    result = verify(STEPS + code)
    assert result.ok, result.output
    assert effects(result) == expected


def test_what_is_only_opened_was_not_changed(verify: Verify, request: pytest.FixtureRequest) -> None:
    result = verify(STEPS + "open('plain', 'r+').close(); os.utime('plain')")
    copied = result.details["effects"]["workspace_was_copied"]  # type: ignore[index]  # a dict, by its making
    assert effects(result) == ({"changed": ["plain"]} if copied else {})


def test_names_that_are_not_text_are_told(verify: Verify) -> None:
    result = verify(STEPS + "open(b'\\xff\\xfe', 'w').close(); open('new\\nline', 'w').close(); open('ü', 'w').close()")
    assert set(effects(result)["created"]) == {"ü", '"new\\nline"', '"\\377\\376"'}


@pytest.mark.parametrize(("name", "levels"), [("d", 1500), ("d" * 200, 30)])
def test_a_tree_too_deep_to_be_looked_at_is_told_as_a_directory(verify: Verify, name: str, levels: int) -> None:
    code = (
        f"import os\nfor n in range({levels}):\n    os.mkdir({name!r}); os.chdir({name!r})\nopen('file', 'w').close()"
    )
    result = verify(code, sandbox={"writes": ["other/**"]})
    assert result.ok, result.message
    (told,) = effects(result)["created"]
    assert told.startswith(f"{name}/{name}/") and told.endswith("/")
    assert verify(code, sandbox={"undeclared_writes": "fail"}).code == "VERIFY_UNDECLARED_WRITES"


def test_caches_are_expected_and_the_rest_is_told(verify: Verify) -> None:
    code = STEPS + (
        "for path in ('__pycache__/m.cpython-311.pyc', 'a/__pycache__/x.pyc', '.pytest_cache/v/cache', '.coverage',\n"
        "             '.coverage.host.1', '.mypy_cache/3.11/x', '.hypothesis/examples/1', 'build/out.txt'):\n"
        "    P(path).parent.mkdir(parents=True, exist_ok=True); P(path).write_text('x')\n"
    )
    result = verify(code)
    assert result.ok and result.details["effects"]["undeclared"] == ["build/out.txt"]  # type: ignore[index]  # a dict
    assert "8 paths" in result.message and "build/out.txt" in result.message
    declared = verify(code, sandbox={"writes": ["build/"], "undeclared_writes": "fail"})
    assert declared.ok and "undeclared" not in declared.message
    failed = verify(code, sandbox={"undeclared_writes": "fail"})
    assert (failed.ok, failed.code) == (False, "VERIFY_UNDECLARED_WRITES")
    assert "build/out.txt" in failed.message


def test_a_command_that_fails_fails_for_that(verify: Verify) -> None:
    result = verify(STEPS + "P('new').write_text('x'); raise SystemExit(3)", sandbox={"undeclared_writes": "fail"})
    assert result.code == "VERIFY_FAILED"
    assert effects(result) == {"created": ["new"]}


def test_what_a_killed_command_wrote_is_told(verify: Verify) -> None:
    code = STEPS + "import time\nP('new').write_text('x')\nprint('written', flush=True)\ntime.sleep(600)"
    for seconds in (1.0, 6.0, 36.0):  # it has to have written when its time is over
        result = verify(code, timeout=seconds)
        if result.output:
            break
    assert result.code == "VERIFY_TIMEOUT"
    assert effects(result) == {"created": ["new"]}


def test_many_paths_are_bounded_and_counted(verify: Verify) -> None:
    result = verify(STEPS + "P('many').mkdir()\nfor n in range(1500): P(f'many/{n}').write_text('')")
    found = result.details["effects"]
    assert isinstance(found, dict)
    assert found["undeclared_count"] == 1500
    assert len(found["undeclared"]) == 100 and len(effects(result)["created"]) <= 300
    assert "more" in result.message and len(result.message) < 500


def test_more_paths_than_are_named_count_as_undeclared(verify: Verify) -> None:
    code = STEPS + "P('build').mkdir()\nfor n in range(21_000): os.mknod(f'build/{n}')"
    result = verify(code, sandbox={"writes": ["build/"], "undeclared_writes": "fail"})
    assert result.code == "VERIFY_UNDECLARED_WRITES"


def test_writes_elsewhere_are_told(verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "workspace" / ".." / "workspace" / "empty"
    monkeypatch.setenv("HOME", str(home))  # not a home that could be hidden: it is in the workspace
    code = STEPS + (
        "done = []\n"
        "for place in ('/etc/made-by-a-check', '/usr/made-by-a-check', '/tmp/scratch', '/dev/shm/scratch'):\n"
        "    try: P(place).write_text('x'); done.append(place)\n"
        "    except OSError: pass\n"
        "print(done)\n"
    )
    result = verify(code)
    wrote = eval(result.output)  # noqa: S307 - what our own program printed
    assert {"/tmp/scratch", "/dev/shm/scratch"} <= set(wrote)
    expected = [place for place in wrote if place.endswith("-check")]
    assert effects(result, "elsewhere") == ({"created": expected} if expected else {})
    assert not Path("/etc/made-by-a-check").exists() and not Path("/tmp/scratch").exists()


def test_writes_in_a_private_home_are_told_but_for_its_cache(
    verify: Verify, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    code = STEPS + (
        "home = P(os.environ['HOME'])\n"
        "(home / '.cache/pip').mkdir(parents=True); (home / '.cache/pip/x').write_text('x')\n"
        "(home / '.bashrc').write_text('evil')\n"
    )
    result = verify(code, sandbox={"undeclared_writes": "fail"})
    assert result.code == "VERIFY_UNDECLARED_WRITES"
    assert result.details["effects"]["undeclared"] == [f"{home}/.bashrc"]  # type: ignore[index]  # a dict
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("absolute", [True, False])
def test_a_report_is_brought_out_to_nowhere_but_a_place_of_its_own(
    verify: Verify, tmp_path: Path, absolute: bool
) -> None:
    """Wherever it is said to lie; a policy with such a place does not load, but not everybody loads one."""
    outside = tmp_path / "outside" / "report.xml"
    place = str(outside) if absolute else f"{'../' * 40}{outside.relative_to('/')}"
    code = (
        f"import os\nfor path in ('.{outside}', '{outside}'):\n    os.makedirs(os.path.dirname(path), exist_ok=True)\n"
        "    open(path, 'w').write('<testsuite><testcase/></testsuite>')\n"
    )
    result = verify(code, results={"report": place})
    assert result.code in ("CHECK_PATH_OUTSIDE", "VERIFY_REPORT_MISSING"), result
    assert not outside.exists()
