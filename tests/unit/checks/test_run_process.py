"""What `run_process` promises, in both ways of containing a command, with commands that try to get away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.many_descriptors import many_descriptors
from tests.patience import PATIENCE_SECONDS, until

from lonelycat.checks import containment
from lonelycat.checks import process as process_module
from lonelycat.checks.process import ProcessResult, run_process

PYTHON = sys.executable

DAEMONISE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({ready!r}, "w").write("up")
        for descriptor in {closed!r}:
            os.close(descriptor)
        time.sleep(600)
    os._exit(0)
while not os.path.exists({ready!r}):
    time.sleep(0.005)
print("done", flush=True)
"""


class Runner:
    def __init__(self, sees_host: bool, cwd: Path, env: dict[str, str]) -> None:
        self.sees_host, self.cwd, self.env = sees_host, cwd, env

    def __call__(
        self, *argv: str, timeout: float = PATIENCE_SECONDS, limit: int = 10_000, **more: Any
    ) -> ProcessResult:
        env = {**self.env, **more.pop("env", {})}
        return run_process(
            argv, cwd=self.cwd, env=env, timeout=timeout, max_output_bytes=limit, sees_host=self.sees_host, **more
        )


@pytest.fixture(params=["namespace", "adopted"])
def run(request: pytest.FixtureRequest, tmp_path: Path, environment: dict[str, str]) -> Runner:
    return Runner(request.param == "adopted", tmp_path, environment)


def test_a_pid_namespace_works_on_the_machines_that_this_is_tested_on() -> None:
    assert containment.namespace_prefix() is not None


def test_output_of_both_streams_and_exit_code_come_back(run: Runner) -> None:
    done = run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.exit_code, done.signal, done.error_code, done.ok) == (7, None, None, False)
    assert sorted(done.output.split()) == [b"err", b"out"]
    assert run("true").ok


def test_a_caller_with_very_many_descriptors_is_served_as_any_other(run: Runner) -> None:
    with many_descriptors():
        done = run("sh", "-c", "echo out; exit 7")
        late = run("sleep", "600", timeout=0.2)
    assert (done.exit_code, done.signal, done.output) == (7, None, b"out\n")
    assert late.timed_out


def test_the_command_is_not_process_one_and_sees_itself_in_proc(run: Runner) -> None:
    done = run(PYTHON, "-c", "import os; print(os.getpid() > 1 and os.path.exists(f'/proc/{os.getpid()}'))")
    assert done.output == b"True\n"


def test_a_command_in_a_namespace_does_not_see_the_host(tmp_path: Path, environment: dict[str, str]) -> None:
    ask = f"import os; print(os.path.exists('/proc/{os.getpid()}/cmdline') and len(os.listdir('/proc')) > 0)"
    (tmp_path / "ask.py").write_text(ask)
    for sees_host, answer in ((False, b"False\n"), (True, b"True\n")):
        assert Runner(sees_host, tmp_path, environment)(PYTHON, "ask.py").output == answer


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_death_by_a_signal_is_told_apart_from_an_exit(run: Runner, number: signal.Signals) -> None:
    done = run(PYTHON, "-c", f"import os; os.kill(os.getpid(), {int(number)})")
    assert (done.exit_code, done.signal, done.timed_out) == (None, number, False)


@pytest.mark.parametrize("name", ["no-such-command-here", "./nothing", "", "/", "a\0b", "./plain", "./odd"])
def test_what_cannot_be_started_is_a_typed_failure(run: Runner, name: str) -> None:
    (run.cwd / "plain").write_text("not executable")
    (run.cwd / "odd").write_bytes(b"\x7fELF garbage")
    (run.cwd / "odd").chmod(0o755)
    done = run(name)
    assert done.error_code == "COMMAND_NOT_FOUND"
    assert done.exit_code is None
    assert done.message


def test_an_argument_with_nul_or_a_script_with_a_missing_interpreter_is_typed_too(run: Runner) -> None:
    script = run.cwd / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert run("echo", "a\0b").error_code == "COMMAND_NOT_FOUND"
    assert run("./script").error_code == "COMMAND_NOT_FOUND"


def test_arguments_reach_the_command_without_a_shell_byte_for_byte(run: Runner) -> None:
    odd = ["$(id)", "a b", "*", "", "-n;", os.fsdecode(b"\xff\xfe"), "ü\n"]
    done = run(PYTHON, "-c", "import os,sys; os.write(1, b'|'.join(map(os.fsencode, sys.argv[1:])))", *odd)
    assert done.output == b"|".join(map(os.fsencode, odd))


def test_the_environment_is_exactly_what_was_given(run: Runner) -> None:
    done = run("env", env={"WANTED": "yes"})
    names = {line.split(b"=")[0] for line in done.output.splitlines()}
    assert names - {b"LONELYCAT_RUN"} == {name.encode() for name in run.env} | {b"WANTED"}


def test_standard_input_is_empty_and_no_terminal_is_there(run: Runner) -> None:
    assert run("cat").output == b""
    assert run(PYTHON, "-c", "open('/dev/tty')").exit_code == 1


def test_a_sleeper_is_ended_at_the_limit_and_one_that_ignores_sigterm_too(run: Runner, marker: Any) -> None:
    done = run("sleep", "600", timeout=0.3)
    assert done.timed_out and not done.ok and done.exit_code is None
    ignore = f"import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600) # {marker.text}"
    done = run(PYTHON, "-c", ignore, timeout=0.5)
    assert (done.timed_out, done.exit_code) == (True, None)
    assert marker.carriers() == []


def test_a_command_may_clean_up_when_its_time_is_over(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_TERMINATE_SECONDS", PATIENCE_SECONDS)  # it ends with the command
    for seconds in (0.5, 4, 30):  # it has to have set its trap when its time is over
        code = "trap 'echo cleaned; exit 0' TERM; touch armed; while :; do sleep 0.05; done"
        done = run("sh", "-c", code, timeout=seconds)
        if (run.cwd / "armed").exists():
            break
    assert done.timed_out and not done.ok
    assert b"cleaned" in done.output


def test_setting_stop_ends_the_command(run: Runner, marker: Any) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    done = run("sh", "-c", f"sleep 600 # {marker.text}", stop=stop)
    timer.join()
    assert (done.stopped, done.timed_out, done.ok) == (True, False, False)
    assert marker.carriers() == []


@pytest.mark.parametrize("closed", [(), (0, 1, 2)])
def test_a_daemon_with_or_without_our_pipe_does_not_survive(run: Runner, marker: Any, closed: tuple[int, ...]) -> None:
    ready = str(run.cwd / "ready")
    code = DAEMONISE.format(ready=ready, closed=closed) + f"# {marker.text}"
    done = run(PYTHON, "-c", code)
    assert done.exit_code == 0 and done.output == b"done\n"
    assert Path(ready).exists(), "the daemon never ran, so nothing was shown"
    assert marker.carriers() == []


def test_a_daemon_that_scrubbed_its_environment_does_not_survive(run: Runner, marker: Any) -> None:
    escape = f"setsid -f env -i sh -c 'echo up > ready; sleep 600; : {marker.text}'"
    done = run("sh", "-c", f"{escape}; while ! test -s ready; do sleep 0.01; done; exit 3")
    assert done.exit_code == 3
    assert marker.carriers() == []


def test_a_whole_tree_of_forking_processes_is_gone_after_a_timeout(run: Runner, marker: Any) -> None:
    code = (
        "import os, time, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for depth in range(5):\n"
        "    os.fork()\n"
        "    if depth % 2: os.setsid() if os.getpgid(0) != os.getpid() else None\n"
        f"time.sleep(600) # {marker.text}"
    )
    done = run(PYTHON, "-c", code, timeout=1)
    assert done.timed_out
    assert marker.carriers() == []


def test_an_adopted_command_that_kills_its_supervisor_leaves_nothing(
    tmp_path: Path, environment: dict[str, str], marker: Any
) -> None:
    code = f"import os, time; os.kill(os.getppid(), 9); time.sleep(600) # {marker.text}"
    done = Runner(True, tmp_path, environment)(PYTHON, "-c", code)
    assert not done.ok and done.exit_code is None and done.signal == signal.SIGKILL
    assert marker.carriers() == []


def test_an_adopted_command_that_stops_its_supervisor_is_ended(
    tmp_path: Path, environment: dict[str, str], marker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "_SUPERVISOR_SECONDS", 0.5)
    code = f"import os, time; os.kill(os.getppid(), 19); time.sleep(600) # {marker.text}"
    done = Runner(True, tmp_path, environment)(PYTHON, "-c", code, timeout=1)
    assert done.timed_out and not done.ok
    assert marker.carriers() == []


def test_a_command_in_a_namespace_cannot_harm_its_supervisor(tmp_path: Path, environment: dict[str, str]) -> None:
    attack = "import os; os.kill(1, 9); os.kill(1, 19); print('still here')"
    done = Runner(False, tmp_path, environment)(PYTHON, "-c", attack)
    assert done.ok and done.output == b"still here\n"


def test_flooding_keeps_first_and_last_part_and_says_how_much_is_missing(run: Runner) -> None:
    code = "import sys; sys.stdout.write('first\\n' + 'x' * 50_000_000 + '\\nlast\\n')"
    done = run(PYTHON, "-c", code, limit=1000)
    assert done.exit_code == 0
    assert done.output.startswith(b"first\n") and done.output.endswith(b"\nlast\n")
    assert b"[... 49999012 bytes dropped ...]" in done.output
    assert len(done.output) < 1100


def test_an_endless_flood_ends_at_the_limit(run: Runner) -> None:
    done = run("yes", timeout=0.5, limit=100)
    assert done.timed_out and len(done.output) < 200


def test_a_command_that_closes_its_output_and_goes_on_is_waited_for(run: Runner) -> None:
    done = run("sh", "-c", "echo said; exec >&- 2>&-; sleep 0.4; touch later; exit 4")
    assert (done.exit_code, done.output) == (4, b"said\n")
    assert (run.cwd / "later").exists()


def test_descriptors_given_are_inherited_and_no_others(run: Runner) -> None:
    with open(run.cwd / "guard", "w") as guard, open(run.cwd / "other", "w") as other:
        os.set_inheritable(other.fileno(), True)
        script = (
            "import os\n"
            "for name in os.listdir('/proc/self/fd'):\n"
            "    if int(name) > 2 and os.path.exists(f'/proc/self/fd/{name}'):\n"
            "        print(os.readlink(f'/proc/self/fd/{name}'))\n"
        )
        done = run(PYTHON, "-c", script, pass_fds=(guard.fileno(),))
    assert done.output.decode().splitlines() == [str(run.cwd / "guard")]


def test_without_working_namespaces_a_command_is_adopted(
    run: Runner, marker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containment, "namespace_prefix", lambda: None)
    monkeypatch.setattr(process_module, "namespace_prefix", lambda: None)
    done = run(PYTHON, "-c", DAEMONISE.format(ready=str(run.cwd / "up"), closed=()) + f"# {marker.text}")
    assert done.ok
    assert marker.carriers() == []


def test_a_prefix_that_does_not_give_a_namespace_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretender = tmp_path / "unshare"
    pretender.write_text('#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done; shift; exec "$@"\n')
    pretender.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    containment.namespace_prefix.cache_clear()
    try:
        assert containment.namespace_prefix() is None
    finally:
        containment.namespace_prefix.cache_clear()


PARENT = """
import sys
from pathlib import Path
from lonelycat.checks.process import run_process
from lonelycat.settings import child_environment
run_process([sys.executable, "-c", sys.argv[2]], cwd=Path(sys.argv[3]), env=child_environment({}),
            timeout=600, max_output_bytes=1000, sees_host=sys.argv[1] == "adopted")
"""


@pytest.mark.parametrize("how", ["namespace", "adopted"])
def test_when_lonelycat_is_killed_its_commands_and_their_daemons_die(how: str, tmp_path: Path, marker: Any) -> None:
    ready = tmp_path / "ready"
    code = DAEMONISE.format(ready=str(ready), closed=()) + f"time.sleep(600) # {marker.text}"
    with subprocess.Popen([PYTHON, "-c", PARENT, how, code, str(tmp_path)]) as parent:
        until(ready.exists, "the daemon")
        assert len(marker.carriers()) >= 3
        parent.kill()
    assert marker.await_carriers(False) == []


def test_an_exception_while_waiting_ends_the_command(run: Runner, marker: Any) -> None:
    class Interrupting(threading.Event):
        def is_set(self) -> bool:
            if marker.carriers():
                raise KeyboardInterrupt
            return False

    with pytest.raises(KeyboardInterrupt):
        run(PYTHON, "-c", f"import time; time.sleep(600) # {marker.text}", stop=Interrupting())
    assert marker.carriers() == []


def test_no_descriptor_is_left_open(run: Runner) -> None:
    run("true")
    before = len(os.listdir("/proc/self/fd"))
    run("true")
    run("no-such-command-here")
    run("echo", "a\0b")
    run("yes", timeout=0.2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_nothing_can_contain_a_command_none_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containment.sys, "platform", "darwin")
    done = run_process(["touch", "made"], cwd=tmp_path, env={"PATH": os.defpath}, timeout=5, max_output_bytes=100)
    assert not done.ok and done.error_code == "COMMAND_NOT_FOUND" and "leaving processes behind" in done.message
    assert list(tmp_path.iterdir()) == []
