"""Ctrl-C, SIGTERM and SIGHUP at every step of the real command line: rolled back, said so, 130; never half done."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interfaces.hostile.siege import BY, Siege, draft, ended
from tests.patience import until

WAIT = "(notes / '%s').touch()\nwhile not (notes / 'go').exists(): time.sleep(0.005)"
STEPS = ("restart", "verify", "health")
OLD = b"old\n"


@pytest.fixture
def slow(siege: Siege) -> Siege:
    """A workspace whose restart, verification and health check each wait once the change is applied."""

    def argv(step: str) -> list[str]:
        mark = f"applied = pathlib.Path('app/new').exists()\nif applied and (notes / 'wait-{step}').exists():\n    "
        return siege.argv(mark + (WAIT % step).replace("\n", "\n    "))

    siege.policy["verification"]["look"]["argv"] = argv("verify")
    siege.policy["services"] = {
        "web": {"kind": "command", "with": {"argv": argv("restart")}, "touches": ["**"], "timeout": 60}
    }
    siege.policy["health_checks"] = {"up": {"kind": "command", "with": {"argv": argv("health")}, "timeout": 60}}
    siege.policy["executor"]["require_health_checks_for_risk"] = ["LOW"]
    return siege.begin()


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    ended(processes)


def _begin(siege: Siege, running: list[subprocess.Popen[bytes]], step: str) -> subprocess.Popen[bytes]:
    (siege.notes / f"wait-{step}").touch()
    document = {"changes": [draft("create", "app/new"), draft("update", "app/settings.txt")]}
    running.append(siege.start("run", "--changeset", siege.file("d.json", document), *BY))
    until(lambda: (siege.notes / step).exists() or running[0].poll() is not None, step)
    assert running[0].poll() is None, running[0].communicate()
    assert (siege.root / "app/new").exists()
    assert (siege.root / "app/settings.txt").read_bytes() != OLD
    return running[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda item: item.name)
@pytest.mark.parametrize("step", STEPS)
def test_it_is_rolled_back_and_said(
    slow: Siege, running: list[subprocess.Popen[bytes]], step: str, number: signal.Signals
) -> None:
    before = slow.contents()
    process = _begin(slow, running, step)
    (slow.notes / f"wait-{step}").unlink()  # the rollback's own restart and health check need not wait
    process.send_signal(number)
    done = slow.finish(process)
    assert (done.exit, done.code, done.facts["status"]) == (130, "INTERRUPTED", "rolled_back"), done
    assert done.facts["hint"]
    assert slow.contents() == before
    assert slow.leftovers() == []
    (row,) = slow.cli("log").facts["executions"]
    assert (row["status"], row["error_code"]) == ("rolled_back", "INTERRUPTED")
    assert slow.cli("execute", done.facts["plan_id"]).exit == 0, "an interrupted one may run again"


def test_a_second_signal_does_not_stop_the_rollback(slow: Siege, running: list[subprocess.Popen[bytes]]) -> None:
    before = slow.contents()
    process = _begin(slow, running, "verify")
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
    done = slow.finish(process)
    assert done.exit == 130, done
    assert slow.contents() == before
    assert slow.leftovers() == []


def test_an_interrupted_wait_for_the_lock_touches_nothing(slow: Siege, running: list[subprocess.Popen[bytes]]) -> None:
    first = _begin(slow, running, "verify")
    plan_id = slow.propose(draft("create", "docs/second.md"))
    second = slow.start("execute", plan_id)
    running.append(second)
    until(lambda: str(slow.root) in _open_files(second.pid), "the second to wait for the lock")
    second.send_signal(signal.SIGINT)
    done = slow.finish(second)
    assert (done.exit, done.code) == (130, "INTERRUPTED"), done
    assert not (slow.root / "docs").exists()
    (slow.notes / "go").touch()
    assert slow.finish(first).exit == 0


def _open_files(pid: int) -> set[str]:
    try:
        return {str(item.readlink()) for item in (Path("/proc") / str(pid) / "fd").iterdir()}
    except OSError:
        return set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda item: item.name)
def test_no_program_that_a_check_started_is_left(
    siege: Siege, running: list[subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    mark = f"child of {siege.base}"
    child = (
        "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"sleep = [sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)', {mark!r}]\n"
        "subprocess.Popen(sleep, start_new_session=True)\n(notes / 'verify').touch()\ntime.sleep(600)"
    )
    siege.policy["verification"]["look"]["argv"] = siege.argv(child)
    siege.begin()
    document = {"changes": [draft("create", "app/new")]}
    running.append(siege.start("run", "--changeset", siege.file("d.json", document), *BY))
    until((siege.notes / "verify").exists, "the verification")
    until(lambda: _alive(mark), "the check's child")
    running[0].send_signal(number)
    assert siege.finish(running[0]).exit == 130
    assert not _alive(mark)
    assert not (siege.root / "app/new").exists()


def _alive(mark: str) -> bool:
    """Tell whether a process runs that has ``mark`` as an argument of its own."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False
