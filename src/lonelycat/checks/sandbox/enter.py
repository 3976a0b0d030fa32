"""The two ways into the tree that ``room.py`` made: by bubblewrap, or by our own hands. Standard library only.

Either way the command finds itself in pid, network and UTS namespaces of its own, and in the watcher's IPC namespace,
without capabilities, in a tree from which nothing leads out; process 1 there is the supervisor.
"""

from __future__ import annotations

import os
import re
import resource
from contextlib import suppress
from typing import NoReturn

from lonelycat.checks.sandbox import kernel, landlock
from lonelycat.checks.sandbox.room import NEW
from lonelycat.checks.sandbox.spec import Spec

_COVERED = ("acpi", "asound", "bus", "driver", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger", "tty")
"""Of /proc, what the owner of its files, who is root even without capabilities, could change the host by.

bubblewrap means to cover them, and in 0.8 takes /proc/sys for read-only because the directory itself is.
"""
_FEWEST_PIDS = 301
"""The kernel takes no lower limit for a pid namespace; what the policy asks below it, the watch alone holds."""
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def limit_resources(spec: Spec) -> None:
    """Set what the kernel itself holds every process to, and forbid further user namespaces."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = spec.max_processes + 16
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))  # root is exempt
    if _pids_are_limited_by_namespace(os.uname().release):
        with suppress(OSError), open("/proc/sys/kernel/pid_max", "w", encoding="ascii") as file:
            file.write(str(max(most, _FEWEST_PIDS)))
    # An ordinary user's bubblewrap needs one namespace for itself.
    allowed = 1 if spec.level == "bubblewrap" and os.geteuid() != 0 else 0
    with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as file:
        file.write(str(allowed))


def _pids_are_limited_by_namespace(release: str) -> bool:
    """Whether ``pid_max`` is the pid namespace's own, as since Linux 6.14; before, it is the whole machine's.

    A fork bomb of root's meets no other limit, and a machine full of processes leaves the watch no time to look.
    """
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is not None and (int(found[1]), int(found[2])) >= (6, 14)


def enter(spec: Spec, supervisor: tuple[str, ...], keep: tuple[int, ...]) -> NoReturn:
    """Become the supervisor in the sandbox, run by ``supervisor``; only the descriptors ``keep`` go along."""
    for descriptor in keep:
        os.set_inheritable(descriptor, True)
    kernel.gain_no_privileges()
    with suppress(OSError):  # the namespaces hold without it; docs/sandbox.md says what it adds
        landlock.keep_inside()
    if spec.level == "bubblewrap":
        arguments = bubblewrap(spec, supervisor)
        os.execv(arguments[0], arguments)  # noqa: S606 - argv list, no shell
    _enter_ourselves(spec, supervisor)


def bubblewrap(spec: Spec, command: tuple[str, ...]) -> list[str]:
    """Return the argument list that runs ``command`` in the tree by bubblewrap."""
    return [
        spec.bubblewrap,
        *("--dev-bind", NEW, "/"),
        *("--proc", "/proc"),
        *(word for name in covered() for word in ("--ro-bind", f"/proc/{name}", f"/proc/{name}")),
        *("--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"),
        *(() if spec.host_network else ("--unshare-net",)),
        *("--cap-drop", "ALL", "--die-with-parent", "--as-pid-1"),
        *("--hostname", "sandbox"),
        *("--chdir", spec.cwd),
        "--",
        *command,
    ]


def covered() -> list[str]:
    """Return what of /proc is made read-only, as far as this kernel has it."""
    return [name for name in _COVERED if os.path.exists(f"/proc/{name}")]


def _enter_ourselves(spec: Spec, command: tuple[str, ...]) -> NoReturn:
    network = 0 if spec.host_network else kernel.CLONE_NEWNET
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP | network)
    first = os.fork()
    if first != 0:
        for descriptor in range(3):  # else whoever reads the output would wait for this process
            os.close(descriptor)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 0xFF)
    kernel.die_with_parent(9)
    if network:
        _loopback_up()
    kernel.mount("proc", f"{NEW}/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    for name in covered():
        place = f"{NEW}/proc/{name}"
        kernel.mount(place, place, flags=kernel.MS_BIND | kernel.MS_REC)
        kernel.make_read_only(place)
    os.chdir(NEW)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir(spec.cwd)
    with suppress(OSError):  # the mounts hold without it
        landlock.restrict(landlock.writable())
    kernel.drop_capabilities()
    os.execv(command[0], command)  # noqa: S606 - argv list, no shell


def _loopback_up() -> None:
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(probe, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
