"""What ``check`` loads before it answers: agents' hooks run it at every edit, and it is mostly start-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.interfaces.cli.conftest import Cli
from tests.interfaces.cli.samples import UPDATE_NOTES, quiet_environment

from lonelycat.interfaces.cli.late_modules import LATE, defer_modules

# Runs the command as its entry point does, up to the moment before the process ends.
_ENTRY = """
import gc, json, os, sys
from importlib.util import _LazyModule
from lonelycat.interfaces import cli
default, searches = gc.get_threshold(), []
gc.callbacks.append(lambda phase, info: searches.append(gc.get_threshold() != default))

def end(code):
    loaded = sorted(name for name, module in sys.modules.items() if type(module) is not _LazyModule)
    print(json.dumps({"code": code, "loaded": loaded, "searches": sum(searches)}), file=sys.stderr, flush=True)
    real_end(0)

real_end, os._exit = os._exit, end
sys.argv = ["lonelycat", *sys.argv[1:]]
cli.entry()
"""
CREATE_OTHER = (
    b"diff --git a/other.md b/other.md\nnew file mode 100644\n--- /dev/null\n+++ b/other.md\n@@ -0,0 +1 @@\n+other\n"
)
_CHECK = ("check", "--patch", "change.patch", "--intent", "shout")


class Start(NamedTuple):
    """How one call ended, the modules that had run by then, and how often it had looked for garbage."""

    code: int
    loaded: list[str]
    searches: int


def _start(root: Path, *arguments: str) -> Start:
    # Without the variables by which the measuring of coverage would start in it, and import its own.
    plain = {key: value for key, value in quiet_environment(root).items() if not key.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", _ENTRY, *arguments], cwd=root, env=plain, capture_output=True, text=True, timeout=100
    )
    return Start(**json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """One ``check`` of a one-file patch, allowed, in a workspace with a key and a pinned policy."""
    root = tmp_path_factory.mktemp("start")
    (root / "notes.md").write_text("one\ntwo\nthree\n")
    (root / "change.patch").write_bytes(UPDATE_NOTES)
    assert _start(root, "init").code == 0
    return _start(root, *_CHECK)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """One ``run`` of the same patch and another file, under a policy that asks for no checks."""
    root = tmp_path_factory.mktemp("execution")
    (root / "notes.md").write_text("one\ntwo\nthree\n")
    (root / "change.patch").write_bytes(UPDATE_NOTES + CREATE_OTHER)
    (root / "agent/policies").mkdir(parents=True)
    (root / "agent/policies/default.yaml").write_text(
        "version: 1\nname: no-checks\nexecutor:\n  allowed_paths: ['**']\n"
        "  require_health_checks_for_risk: []\n  require_verification_for_risk: []\n"
    )
    done = _start(root, "run", *_CHECK[1:])
    assert (root / "notes.md").read_text() != "one\ntwo\nthree\n"
    assert (root / "other.md").exists()
    assert done.code == 0
    return done


def test_the_check_was_made(checked: Start) -> None:
    """What it needs was loaded, so that what is missing below is missing in a whole check."""
    assert checked.code == 0
    needed = {"pydantic", "typer", "yaml", "cryptography", "lonelycat.governance.writegate"}
    assert needed <= set(checked.loaded)


@pytest.mark.parametrize(
    "heavy",
    [
        "alembic", "asyncio", "email.message", "httpx", "psutil", "rich", "sqlalchemy", "sqlite3", "zipfile",
        "lonelycat.changes.conflict", "lonelycat.checks", "lonelycat.executor.transaction",
        "lonelycat.governance.explain", "lonelycat.governance.policy_tests",
        "lonelycat.interfaces.cli.commands.propose", "lonelycat.planner.survey",
        "lonelycat.records.store", "lonelycat.records.audit", "lonelycat.runtime.git", "lonelycat.runtime.pipeline",
    ],
)  # fmt: skip
def test_a_check_does_not_load(checked: Start, heavy: str) -> None:
    assert [name for name in checked.loaded if name == heavy or name.startswith(heavy + ".")] == []


def test_a_check_loads_one_command_and_no_more_than_so_many_modules_of_ours(checked: Start) -> None:
    ours = [name for name in checked.loaded if name.split(".")[0] == "lonelycat"]
    commands = "lonelycat.interfaces.cli.commands."
    assert [name for name in ours if name.startswith(commands)] == [commands + "check"]
    assert len(ours) <= 109, "a module more at every start: import it where it is used, or raise this and say why"


def test_a_check_never_looks_for_garbage(checked: Start) -> None:
    assert checked.searches == 0


@pytest.mark.parametrize("unnamed", ["health", "services", "verifier"])
def test_an_execution_loads_no_kinds_of_checks_that_its_plan_does_not_name(executed: Start, unnamed: str) -> None:
    checks = "lonelycat.checks." + unnamed
    assert [name for name in executed.loaded if name == checks or name.startswith(checks + ".")] == []


def test_modules_that_wait_are_whole_when_they_are_used(tmp_path: Path) -> None:
    ask = (
        "import sys; from lonelycat.interfaces.cli.late_modules import defer_modules\n"
        "defer_modules(); defer_modules()\n"
        "import csv, io, zipfile\n"
        "print([type(sys.modules[name]).__name__ for name in ('csv', 'zipfile')])\n"
        "text = io.StringIO(); csv.writer(text).writerow(['a', 'b,c']); print(text.getvalue().strip())\n"
        "pack = io.BytesIO(); zipfile.ZipFile(pack, 'w').writestr('name', b'data')\n"
        "print(zipfile.ZipFile(pack).namelist())\n"
        "import importlib.metadata; print('email.message' in sys.modules)\n"
        "print(importlib.metadata.metadata('pydantic')['Name'], 'email.message' in sys.modules)\n"
        "print(sum(getattr(finder, '__name__', '') == '_LateFinder' for finder in sys.meta_path))\n"
    )
    plain = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ask], cwd=tmp_path, env=plain, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "['_LazyModule', '_LazyModule']", 'a,"b,c"', "['name']", "False", "pydantic True", "1",
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(LATE))
def test_what_waits_exists(name: str) -> None:
    """A name that the standard library does not have is a line without effect."""
    subprocess.run([sys.executable, "-c", f"import {name}"], check=True)


def test_a_library_call_leaves_the_imports_of_its_host_alone(cli: Cli) -> None:
    before = list(sys.meta_path)
    assert cli("--version").code == 0
    assert sys.meta_path == before
    assert defer_modules.__module__ not in {type(finder).__module__ for finder in sys.meta_path}
