"""File systems for the executor that count, kill, fail or meddle at every mutating call."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from typing import Any

from lonelycat.executor.filesystem import FileSystem

MUTATING = (
    "create_file",
    "write",
    "truncate",
    "allocate",
    "set_mode",
    "set_owner",
    "set_attribute",
    "make_link",
    "hard_link",
    "move",
    "exchange",
    "replace",
    "unlink",
    "make_directory",
    "remove_directory",
    "hand_over",
    "fsync",
    "syncfs",
)
SPACE_TAKING = frozenset({"create_file", "write", "allocate", "make_link", "hard_link", "make_directory"})
KILLED = -signal.SIGKILL


class Hooked(FileSystem):
    """Calls :meth:`before` and :meth:`after` around every mutating call, with its number and name."""

    def __init__(self) -> None:
        self.calls = 0
        self.trace: list[str] = []
        self.touched: set[str] = set()
        """Names that were moved or exchanged."""
        self.swept = False
        """Whether the stage was swept and is being removed: what is written to a removed file then is nobody's."""

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        """Called before call ``number`` (from 0)."""

    def after(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        """Called after call ``number`` succeeded."""


def _hooked(name: str) -> Callable[..., Any]:
    real = getattr(FileSystem, name)

    def call(self: Hooked, *arguments: Any) -> Any:
        number = self.calls
        self.calls += 1
        self.trace.append(name)
        if name in ("move", "exchange"):
            self.touched |= {argument for argument in arguments if isinstance(argument, str)}
        self.swept = self.swept or (name == "unlink" and arguments[1] == "journal")
        self.before(number, name, arguments)
        result = real(self, *arguments)
        self.after(number, name, arguments)
        return result

    return call


for _name in MUTATING:
    setattr(Hooked, _name, _hooked(_name))


class Killed(Hooked):
    """The process dies before call ``at``; for a write, with ``torn``, in the middle of it."""

    def __init__(self, at: int, *, torn: bool = False) -> None:
        super().__init__()
        self.at = at
        self.torn = torn

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number != self.at:
            return
        if self.torn and name == "write":
            fd, data = arguments
            os.write(fd, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)


class Failing(Hooked):
    """Call ``at`` fails with ``code``; with ``stays``, every later call that takes space does too.

    With ``late`` the call is made first and fails then: the ambiguous moment.
    """

    def __init__(self, at: int, code: int, *, stays: bool = False, late: bool = False, torn: bool = False) -> None:
        super().__init__()
        self.at = at
        self.code = code
        self.stays = stays
        self.late = late
        self.torn = torn
        self.healed = False

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if self.late or self.healed:
            return
        if self.stays and name == "unlink" and arguments[1] == "ballast":
            self.healed = True  # freeing the ballast is what makes undo possible
        if number == self.at or (self.stays and number > self.at and name in SPACE_TAKING):
            if self.torn and name == "write":
                os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(self.code, os.strerror(self.code), name)

    def after(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if self.late and number == self.at:
            raise OSError(self.code, os.strerror(self.code), name)


class Meddling(Hooked):
    """Somebody else acts before, or after, call ``at``."""

    def __init__(self, at: int, act: Callable[[], None], *, afterwards: bool) -> None:
        super().__init__()
        self.at = at
        self.act = act
        self.afterwards = afterwards

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number == self.at and not self.afterwards:
            self.act()

    def after(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number == self.at and self.afterwards:
            self.act()


FAULTS = (errno.EIO, errno.ENOSPC)
