"""Which command runs a workspace's tests, and whether it can be run here.

Invariants:
- A runner is offered as usable only when it was seen to run, where and as verification would run it; one that cannot
  run would fail, and so roll back, every change.
- Every usable runner says what proves that something was really tested.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from lonelycat.planner.survey import Survey, WorkspaceListing

_VENVS = (".venv", "venv", "env")
_NO_TEST_SCRIPT = re.compile(r"no test specified")
_MAKE_TEST = re.compile(r"^(test|check)\s*:(?!=)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TestRunner:
    """A way to run the tests.

    Attributes:
        argv: the command, as a policy's profile holds it.
        usable: whether everything that it needs was found, and it was seen to run.
        evidence: what says that the workspace's tests are run so, and what is there or missing, in words.
        configuration: the files that tell the runner what to run.
        no_test_exit_codes, no_test_patterns, required_pattern: as in the policy's ``no_tests``.
        results_format: the policy's name for the form in which it reports its tests, if it has one.
    """

    __test__ = False

    name: str
    argv: tuple[str, ...]
    usable: bool
    evidence: str
    configuration: tuple[str, ...] = ()
    no_test_exit_codes: tuple[int, ...] = ()
    no_test_patterns: tuple[str, ...] = ()
    required_pattern: str | None = None
    results_format: str | None = None


def find_runners(listing: WorkspaceListing, found: Survey) -> tuple[TestRunner, ...]:
    """Return the runners that the workspace seems made for, the most telling first."""
    python = (*_pytest(listing, found), *_unittest(listing, found))
    return (*python, *_npm(listing), *_go(listing), *_cargo(listing)) or tuple(_make(listing))


def _pytest(listing: WorkspaceListing, found: Survey) -> Iterator[TestRunner]:
    why = _pytest_evidence(listing, found)
    if why is None:
        return
    argv, usable, where = _which_pytest(listing)
    yield TestRunner(
        name="pytest",
        argv=argv,
        usable=usable,
        evidence=f"{why}; {where}",
        configuration=("**/conftest.py", "**/pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"),
        no_test_exit_codes=(5,),
        no_test_patterns=(r"no tests ran",),
        required_pattern=r"\b[1-9]\d* passed",
        results_format="pytest",
    )


def _which_pytest(listing: WorkspaceListing) -> tuple[tuple[str, ...], bool, str]:
    """Return how to run pytest, whether that works, and what says so: that of a virtual environment, else of PATH."""
    broken = []
    for directory in _VENVS:
        if listing.read(f"{directory}/bin/pytest") is not None:
            argv = (f"{{workspace}}/{directory}/bin/python", "-m", "pytest")
            why = listing.why_not((*argv, "--version"))
            if why is None:
                return (*argv, "-q"), True, f"{directory}/bin/pytest runs"
            broken.append(f"{directory}/bin/pytest exists, but {why}")
    why = listing.why_not(("pytest", "--version"))
    said = "; ".join((*broken, why or "pytest runs"))
    return ("pytest", "-q"), why is None, said


def _pytest_evidence(listing: WorkspaceListing, found: Survey) -> str | None:
    if "pytest.ini" in listing.paths:
        return "pytest.ini"
    for path, section in (("tox.ini", "[pytest]"), ("setup.cfg", "[tool:pytest]")):
        if path in listing.paths and section in listing.text(path):
            return f"{path} has {section}"
    if "pyproject.toml" in listing.paths:
        tool = _toml(listing, "pyproject.toml").get("tool")
        if isinstance(tool, dict) and "pytest" in tool:
            return "pyproject.toml has [tool.pytest]"
    if not found.python_tests:
        return None
    conftest = next((path for path in listing.paths if path.rpartition("/")[2] == "conftest.py"), None)
    if conftest is not None:
        return conftest
    named = ("tox.ini", "noxfile.py", "pyproject.toml", "setup.py", "setup.cfg", "Makefile")
    for path in (*named, *(path for path in sorted(listing.paths) if "requirements" in path)):
        if path in listing.paths and "pytest" in listing.text(path):
            return f"{path} names pytest"
    return None


def _unittest(listing: WorkspaceListing, found: Survey) -> Iterator[TestRunner]:
    if not found.python_tests or _pytest_evidence(listing, found) is not None:
        return
    venv = next((each for each in _VENVS if listing.read(f"{each}/pyvenv.cfg") is not None), None)
    python = f"{{workspace}}/{venv}/bin/python" if venv else "python3"
    importable = [path for path in found.python_tests if "unittest" in listing.text(path)][:1]
    if importable:
        why = listing.why_not((python, "-m", "unittest", "--help"))
        yield TestRunner(
            name="unittest",
            argv=(python, "-m", "unittest", "discover"),
            usable=why is None,
            evidence=f"{importable[0]} uses unittest; {why or f'{python} runs it'}",
            no_test_exit_codes=(5,),
            no_test_patterns=(r"Ran 0 tests",),
            required_pattern=r"Ran [1-9]\d* tests?",
            results_format="unittest",
        )


def _npm(listing: WorkspaceListing) -> Iterator[TestRunner]:
    if "package.json" not in listing.paths:
        return
    package = _json(listing, "package.json")
    scripts = package.get("scripts")
    script = scripts.get("test") if isinstance(scripts, dict) else None
    if not isinstance(script, str) or _NO_TEST_SCRIPT.search(script):
        return
    needs_install = bool(package.get("dependencies") or package.get("devDependencies"))
    installed = not needs_install or listing.read("node_modules/.package-lock.json") is not None
    missing = [
        *filter(None, (listing.why_not(("npm", "--version")),)),
        *(() if installed else ("node_modules is not installed",)),
    ]
    yield TestRunner(
        name="npm test",
        argv=("npm", "test", "--silent"),
        usable=not missing,
        evidence=f"package.json has a test script; {' and '.join(missing) or 'what it needs is there'}",
        configuration=("package.json", "**/jest.config.*", "**/vitest.config.*", "**/.mocharc*"),
        no_test_patterns=(r"No tests? (?:files? )?found", r"\b0 passing\b", r"^# tests 0$"),
    )


def _go(listing: WorkspaceListing) -> Iterator[TestRunner]:
    if "go.mod" in listing.paths and any(path.endswith("_test.go") for path in listing.paths):
        why = listing.why_not(("go", "version"))
        yield TestRunner(
            name="go test",
            argv=("go", "test", "./..."),
            usable=why is None,
            evidence=f"go.mod and _test.go files; {why or 'go runs'}",
            configuration=("go.mod",),
            required_pattern=r"ok\s+\S+",
            results_format="go_test",
        )


def _cargo(listing: WorkspaceListing) -> Iterator[TestRunner]:
    if "Cargo.toml" in listing.paths:
        why = listing.why_not(("cargo", "--version"))
        locked = ("--locked",) if "Cargo.lock" in listing.paths else ()
        yield TestRunner(
            name="cargo test",
            argv=("cargo", "test", "--workspace", *locked),
            usable=why is None,
            evidence=f"Cargo.toml; {why or 'cargo runs'}",
            configuration=("Cargo.toml", "**/build.rs"),
            required_pattern=r"test result: ok\. [1-9]\d* passed",
        )


def _make(listing: WorkspaceListing) -> Iterator[TestRunner]:
    path = next((each for each in ("Makefile", "GNUmakefile", "makefile") if each in listing.paths), None)
    target = _MAKE_TEST.search(listing.text(path)) if path else None
    if path and target:
        why = listing.why_not(("make", "--version"))
        yield TestRunner(
            name=f"make {target[1]}",
            argv=("make", target[1]),
            usable=why is None,
            evidence=f"{path} has the target {target[1]}; {why or 'make runs'}",
            configuration=(path,),
            no_test_patterns=(r"Nothing to be done for", r"is up to date"),
        )


def _toml(listing: WorkspaceListing, path: str) -> dict[str, object]:
    try:
        return tomllib.loads(listing.text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _json(listing: WorkspaceListing, path: str) -> dict[str, object]:
    try:
        value = json.loads(listing.text(path))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
