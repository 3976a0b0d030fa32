"""The program between LonelyCat and a sandbox; standard library only, started by ``launch.py``.

Three processes, each the last to know that what is below it is gone:

- the *keeper* stays outside, holds the lock's descriptor for children, and ends when nothing is left below it, also
  when LonelyCat itself is gone;
- the *maker* has a user namespace of its own, in which it may mount, and whose identities the keeper maps;
- the *watcher* is process 1 of a pid namespace: it makes the room, starts the command in it, holds it to its limits,
  and looks afterwards what was written. When it ends, the kernel kills whatever is left. It shares an IPC namespace
  with the command, whose segments it has to see.

The command itself, and the supervisor, live in a second pid namespace (``enter.py``). They inherit the output, the
status pipe and nothing else.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn

from lonelycat.checks.sandbox import kernel
from lonelycat.checks.sandbox.spec import Report, Spec, decode_spec, encode

_MAX_ERROR = 500
_SUPERVISOR = Path(__file__).parents[1] / "supervisor.py"


def main(arguments: list[str]) -> NoReturn:
    """Keep: ``arguments`` are the descriptors of spec, report, control, status and contents (-1 for none)."""
    spec_file, report, control, status, contents = map(int, arguments)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            _close_on_exec(int(name))
    spec = decode_spec(_read_whole(spec_file))
    supervisor = _SUPERVISOR.read_bytes()
    kernel.become_subreaper()
    asked, answered = os.pipe(), os.pipe()
    maker = os.fork()
    if maker == 0:
        try:
            os.close(asked[0])
            os.close(answered[1])
            _make(spec, supervisor, report, control, status, contents, asked[1], answered[0])
        except BaseException as error:  # noqa: BLE001 - it must end here, and say why
            _tell(report, Report(error=_shown(error)))
        finally:
            os._exit(1)
    os.close(asked[1])
    os.close(answered[0])
    os.close(control)
    if os.read(asked[0], 1):
        try:
            _map_identities(maker)
            os.write(answered[1], b"m")
        except OSError as error:
            _tell(report, Report(error=_shown(error)))
    os.close(answered[1])
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(0)


def _make(
    spec: Spec, supervisor: bytes, report: int, control: int, status: int, contents: int, ask: int, answer: int
) -> None:
    keeper = os.getppid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC)
    kernel.die_with_parent(signal.SIGKILL)
    os.write(ask, b"m")
    if not os.read(answer, 1) or os.getppid() != keeper:
        os._exit(1)
    watcher = os.fork()
    if watcher == 0:
        try:
            kernel.die_with_parent(signal.SIGKILL)
            _tell(report, _watch(spec, supervisor, control, status, contents))
        except BaseException as error:  # noqa: BLE001 - it must end here, and say why
            _tell(report, Report(error=_shown(error)))
        finally:
            os._exit(0)
    os.waitpid(watcher, 0)
    os._exit(0)


def _watch(spec: Spec, supervisor: bytes, control: int, status: int, contents: int) -> Report:
    from lonelycat.checks.sandbox import effects
    from lonelycat.checks.sandbox.enter import enter, limit_resources
    from lonelycat.checks.sandbox.keeping import keep, written_state
    from lonelycat.checks.sandbox.room import NEW, SUPERVISOR, Room
    from lonelycat.checks.sandbox.watch import Watch

    room = Room(spec, supervisor, contents)
    room.build()
    if not os.path.isdir(NEW + spec.cwd):
        return Report(error=f"there is no directory {spec.cwd!a} to run in")
    before = written_state(NEW + spec.workspace, spec.kept) if spec.kept else None
    limit_resources(spec)
    inner_read, inner_write = os.pipe()
    command = (spec.interpreter, "-I", "-S", SUPERVISOR, "namespace", str(inner_read), str(status))
    entered = os.fork()
    if entered == 0:
        try:
            os.close(inner_write)
            enter(spec, (*command, spec.executable, *spec.argv), (inner_read, status))
        except BaseException as error:  # noqa: BLE001 - it must end here, and say why
            os.write(2, f"sandbox: {_shown(error)}\n".encode())
        finally:
            os._exit(125)
    os.close(inner_read)
    watch = Watch(spec, room, entered, control, inner_write)
    code = watch.wait()
    watch.end()
    broken = f"the way into the sandbox ended with {code}" if code and code < 128 else None  # 137: killed by the kernel
    kept = keep(NEW + spec.workspace, spec.kept, spec.max_kept_bytes, before) if spec.kept else None
    written = effects.in_workspace(room), effects.elsewhere(room)
    return Report(broken, watch.over, *written, room.copy is not None, kept)


def _map_identities(pid: int) -> None:
    """Give the maker's namespace all identities that the keeper has, or its own where it may give no others."""
    mapped = Path("/proc/self/uid_map").read_text("ascii"), Path("/proc/self/gid_map").read_text("ascii")
    own = os.geteuid(), os.getegid()
    for name, table, identity in zip(("uid", "gid"), mapped, own, strict=True):
        place = Path(f"/proc/{pid}/{name}_map")
        try:
            if os.geteuid() != 0:
                raise PermissionError
            lines = [line.split() for line in table.splitlines()]
            place.write_text("".join(f"{first} {first} {count}\n" for first, _, count in lines), "ascii")
        except PermissionError:
            if name == "gid":
                Path(f"/proc/{pid}/setgroups").write_text("deny", "ascii")
            place.write_text(f"{identity} {identity} 1\n", "ascii")


def _tell(report: int, message: Report) -> None:
    """Write ``message`` unless something was said already."""
    if os.fstat(report).st_size == 0:
        data = memoryview(encode(message))
        while data:
            data = data[os.write(report, data) :]


def _read_whole(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _close_on_exec(descriptor: int) -> None:
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        return  # the directory that was listed


def _shown(error: BaseException) -> str:
    return f"{error.args[-1] if isinstance(error, OSError) and error.args else repr(error)}"[:_MAX_ERROR]
