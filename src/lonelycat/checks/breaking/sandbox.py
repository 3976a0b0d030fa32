"""The sandbox that a copy of the services is broken in: bubblewrap, with network, processes, directories of its own.

Invariants:
- The live services cannot be reached from inside: no network but a loopback of its own, none of the host's processes,
  no sockets below ``/run`` and ``/tmp``. What is outside can only be read.
- The workspace stands at its own path, as a copy; so the health checks are the very ones of the policy.
- Whatever ends this process ends the sandbox and everything in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lonelycat.checks.breaking.report import HealthTestReport
from lonelycat.checks.deadline import when_over
from lonelycat.errors import StateError
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_profiles import HealthTest
from lonelycat.settings import STATE_DIRECTORY, child_environment, secret_values

Event = Callable[[dict[str, Any]], None]
_NOT_COPIED = (".git", STATE_DIRECTORY)
_SHARED = (".venv", "venv", "node_modules")
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID")
_ERROR_TAIL = 1000


def break_copy(
    workspace: Path, policy: Policy, names: tuple[str, ...], variables: tuple[str, ...], on_event: Event, seconds: float
) -> HealthTestReport:
    """Start a copy of everything in a sandbox, break it, and return which checks noticed.

    Args:
        names: the health checks to ask.
        variables: the environment variables that those name.
        on_event: told of each fault as it begins and as it was seen.
        seconds: for the whole.

    Raises:
        StateError: ``HEALTH_TEST_…``: it could not be tried, and why.
    """
    test = policy.health_test
    if test is None:
        raise StateError(
            "HEALTH_TEST_UNDEFINED",
            "the policy does not say how to start a copy of the services",
            "Give it a section health_test; docs/services.md has an example.",
        )
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise StateError(
            "HEALTH_TEST_NO_SANDBOX",
            "bubblewrap is not installed, and services are not broken outside a sandbox",
            "Install it (Debian: apt-get install bubblewrap).",
        )
    services, checks = policy.services, policy.health_checks
    with _scratch() as scratch:
        copy = scratch / "workspace"
        _copy(workspace, copy)
        job = {
            "workspace": str(workspace),
            "scratch": str(scratch),
            "test": test.model_dump(mode="json", by_alias=True),
            "services": {name: one.model_dump(mode="json", by_alias=True) for name, one in services.items()},
            "health_checks": {name: checks[name].model_dump(mode="json", by_alias=True) for name in names},
        }
        argv = [
            bwrap,
            *_options(workspace, copy, scratch, test),
            sys.executable,
            "-m",
            "lonelycat.checks.breaking.inside",
        ]
        environment = child_environment({**secret_values(variables), "TMPDIR": str(scratch)})
        return _run(argv, environment, json.dumps(job), on_event, seconds)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lonelycat-break-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def _copy(workspace: Path, copy: Path) -> None:
    """Copy what a service is made of; sockets and pipes of the live one, and what it removes meanwhile, are not.

    Raises:
        StateError: ``HEALTH_TEST_FAILED``: something else cannot be copied.
    """

    def left_out(directory: str, entries: list[str]) -> set[str]:
        at_root = Path(directory) == workspace
        named = {name for name in entries if name in _SHARED or (at_root and name in _NOT_COPIED)}
        return named | {name for name in entries if not _is_copied(Path(directory, name))}

    def copy_file(source: str, target: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(source, target)

    try:
        shutil.copytree(workspace, copy, symlinks=True, ignore=left_out, copy_function=copy_file)
    except OSError as error:
        first = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise StateError(
            "HEALTH_TEST_FAILED", f"the workspace cannot be copied: {first}", "Make all of it readable, and try again."
        ) from error


def _is_copied(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def _options(workspace: Path, copy: Path, scratch: Path, test: HealthTest) -> list[str]:
    options = ["--die-with-parent", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--new-session"]
    if os.geteuid() == 0:
        options += [part for name in _CAPABILITIES for part in ("--cap-add", f"CAP_{name}")]
    options += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run"]  # noqa: S108
    for place in _programs():
        if place.is_relative_to("/tmp") or place.is_relative_to("/run"):  # noqa: S108 - they were just hidden
            options += ["--ro-bind", str(place), str(place)]
    options += ["--bind", str(scratch), str(scratch), "--bind", str(copy), str(workspace)]
    for name in _SHARED:
        if (workspace / name).is_dir():
            options += ["--ro-bind", str(workspace / name), str(workspace / name)]
    for place_name in test.private:
        options += ["--tmpfs", place_name]
    return [*options, "--chdir", str(workspace), "--"]


def _programs() -> list[Path]:
    """Return where Python, its packages and LonelyCat lie."""
    package = Path(__file__).resolve().parents[2]
    places = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), package}
    return sorted(places)


def _run(argv: list[str], environment: dict[str, str], job: str, on_event: Event, seconds: float) -> HealthTestReport:
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - bubblewrap, with arguments made above
            argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        over = threading.Event()

        def end() -> None:
            over.set()  # first: the end may be seen before this thread is done
            process.kill()

        try:
            with when_over(seconds, end):
                return _followed(process, job, on_event)
        except EOFError:
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _ERROR_TAIL))
            said = errors.read().decode("utf-8", "replace").strip()
            late = over.is_set()
            raise StateError(
                "HEALTH_TEST_TIMEOUT" if late else "HEALTH_TEST_CRASHED",
                f"the sandbox was ended after {seconds:g} s" if late else f"the sandbox ended without a report: {said}",
                "Nothing of it is left; the live services were not touched.",
            ) from None
        finally:
            process.kill()


def _followed(process: subprocess.Popen[str], job: str, on_event: Event) -> HealthTestReport:
    if process.stdin is None or process.stdout is None:
        raise EOFError
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(job)
        process.stdin.close()
    for line in process.stdout:
        if not line.endswith("\n"):
            break  # it was ended in the middle of its say
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "report":
            return HealthTestReport.model_validate_json(json.dumps(event["report"]))
        if event["event"] == "error":
            raise StateError(str(event["code"]), str(event["message"]), str(event["hint"]))
        on_event(event)
    raise EOFError
