"""On Windows LonelyCat refuses by name, before it touches anything; it does not end in a missing module.

A process is made to look like Windows: other packages, which run there, are imported first, then the modules and
functions that Windows does not have are taken away, and LonelyCat is imported anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lonelycat.version import __version__

_WINDOWS = """
import importlib, os, pkgutil, signal, sys
import lonelycat
for module in pkgutil.walk_packages(lonelycat.__path__, "lonelycat."):
    if not any(part in module.name for part in (".migrations.", ".site.", "__main__", "supervisor")):
        importlib.import_module(module.name)
for name in [name for name in sys.modules if name.partition(".")[0] == "lonelycat"]:
    del sys.modules[name]
sys.platform = PLATFORM
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
POSIX = (
    "O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH chown fchmod fchown fork getegid geteuid getuid "
    "getxattr killpg listxattr mkfifo posix_fallocate setpgid setxattr uname"
)
for name in POSIX.split():
    delattr(os, name)
for name in "SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGXFSZ pthread_sigmask".split():
    delattr(signal, name)
"""
_PATCH = "diff --git a/a b/a\nnew file mode 100644\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+a\n"
_REFUSED = (
    "init",
    "check --patch p.diff",
    "propose --patch p.diff --intent x",
    "approve plan_1 --by maria",
    "execute plan_1",
    "run --patch p.diff --intent x",
    "revert exec_1",
    "status",
    "log",
    "show exec_1",
    "diff exec_1",
    "doctor",
    "recover",
    "unfreeze --reason x --by maria",
    "policy test",
    "policy check",
    "audit verify",
    "gc",
    "demo",
)
_SEVERAL = """
import contextlib, io, json
from lonelycat.interfaces.cli import main
for argv in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
_COMMAND = "from lonelycat.interfaces.cli import main\nsys.exit(main(sys.argv[1:]))"


def _run(code: str, *arguments: str, cwd: Path, platform: str = "win32") -> subprocess.CompletedProcess[str]:
    program = _WINDOWS.replace("PLATFORM", repr(platform)) + code
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def test_every_command_is_refused_and_touches_nothing_and_what_only_tells_works(tmp_path: Path) -> None:
    (tmp_path / "p.diff").write_text(_PATCH)
    refused = [line.split() for line in _REFUSED]
    telling = [["--version"], ["--help"], ["check", "--help"]]
    done = _run(_SEVERAL, json.dumps([*refused, *telling, ["--json", "status"]]), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for argv, (code, out, err) in zip(refused, answers, strict=False):
        assert (code, out) == (4, ""), (argv, err)
        assert err.startswith("error PLATFORM_UNSUPPORTED: ") and "WSL2" in err, argv
        assert len(err.splitlines()) == 3, argv
    version, usage, check, as_json = answers[len(refused) :]
    assert version[:2] == [0, f"lonelycat {__version__}\n"]
    assert usage[0] == check[0] == 0 and "Usage" in usage[1] and "--patch" in check[1]
    told = json.loads(as_json[1])
    assert (told["ok"], told["code"]) == (False, "PLATFORM_UNSUPPORTED")
    assert [path.name for path in tmp_path.iterdir()] == ["p.diff"]


def test_the_library_is_imported_and_what_is_pure_works_and_the_rest_is_refused(tmp_path: Path) -> None:
    code = """
import lonelycat
from lonelycat import ChangePlan, ChangeSet, FileChange, LonelyCatError
plan = ChangePlan.new(intent="x", created_by="agent:x", affected_paths=["a"])
print(ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("a", b"1")]).checksum[:0] + "built")
for name in ("Executor", "LockManager", "IdempotencyManager", "WriteGate", "LonelyCat"):
    try:
        getattr(lonelycat, name)(".")
    except LonelyCatError as error:
        print(name, error.code)
"""
    done = _run(code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    names = ("Executor", "LockManager", "IdempotencyManager", "WriteGate", "LonelyCat")
    assert done.stdout.split("\n")[:-1] == ["built", *(f"{name} PLATFORM_UNSUPPORTED" for name in names)]


def test_a_system_that_nobody_thought_of_is_refused_too(tmp_path: Path) -> None:
    done = _run(_COMMAND, "status", cwd=tmp_path, platform="plan9")
    assert done.returncode == 4 and "PLATFORM_UNSUPPORTED" in done.stderr and "plan9" in done.stderr
