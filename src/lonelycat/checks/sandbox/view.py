"""What a command in a sandbox sees of the host: decided here, outside, and made by ``room.py``.

The host is there, read-only in effect, but for the directories where people and programs keep what is theirs
(``HIDDEN`` in ``spec.py``, and homes). Of those only what the command cannot run without is shown: the interpreter that
runs LonelyCat, LonelyCat itself, the command's own program with its libraries, the interpreter of a virtual environment
in the workspace, the repository that the workspace is a worktree of, and what the policy names.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lonelycat.checks.sandbox.spec import HIDDEN

_SECRETS = (
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssl/private",
    "/etc/krb5.keytab",
)
_BESIDE_BIN = ("lib", "lib64", "libexec", "include", "share")
_ENVIRONMENTS = (".venv", "venv", "env")
_MAX_LINKS = 40
_PATH_BYTES = 8192
_PACKAGE = Path(__file__).parents[2]


class View(NamedTuple):
    """Parts of a :class:`~lonelycat.checks.sandbox.spec.Spec`; see there."""

    homes: tuple[str, ...]
    shown: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]


def view_of(
    workspace: Path, executable: str, env: Mapping[str, str], reads: Iterable[str], secrets: Sequence[Path]
) -> View:
    """Return what a command is shown.

    Args:
        workspace: the governed tree, resolved.
        executable: the command's program, absolute.
        env: the command's environment, for its home.
        reads: further paths that it needs.
        secrets: what it must not see, wherever it lies.
    """
    shown: set[str] = set()
    links: dict[str, str] = {}
    places = {_follow(home, HIDDEN, links) for home in (env.get("HOME", ""), _account_home()) if home.startswith("/")}
    homes = tuple(sorted(home for home in places if _is_home(home, workspace)))
    hidden = (*HIDDEN, *homes)
    for path in (*_needed(workspace), *_program(executable), *reads, *_resolver(hidden)):
        real = _follow(path, hidden, links)
        if _below(real, hidden) and not _below(real, (str(workspace),)) and os.path.lexists(real):
            shown.add(real)
    masked = [*_SECRETS, *map(str, Path("/etc/ssh").glob("ssh_host_*_key")), *map(os.path.realpath, secrets)]
    return View(
        homes,
        tuple(sorted(path for path in shown if not _below(os.path.dirname(path), tuple(shown)))),
        tuple((place, text) for place, text in links.items() if not _below(place, (str(workspace), *shown))),
        tuple(masked),
    )


def _account_home() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _is_home(home: str, workspace: Path) -> bool:
    return home != "/" and os.path.isdir(home) and not _below(home, (str(workspace),))


def _below(path: str, directories: Sequence[str]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in directories)


def _needed(workspace: Path) -> Iterator[str]:
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix, str(_PACKAGE))
    for name in _ENVIRONMENTS:
        if (workspace / name / "pyvenv.cfg").is_file():
            yield from _program(str(workspace / name / "bin" / "python"))
    yield from _repository(workspace)


def _repository(workspace: Path) -> Iterator[str]:
    """Yield where the repository of a worktree or submodule lies, if it is one: its ``.git`` is a file that says so."""
    place = _said_in(workspace / ".git", "gitdir: ")
    if place is None or not (place / "HEAD").is_file():
        return
    yield str(place)
    common = _said_in(place / "commondir")
    if common is not None and (common / "HEAD").is_file() and (common / "objects").is_dir():
        yield str(common)


def _said_in(file: Path, word: str = "") -> Path | None:
    """Return the directory that the line in ``file`` names behind ``word``, relative to that of the file."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return None
        with file.open("rb") as opened:
            line = os.fsdecode(opened.read(_PATH_BYTES))
    except OSError:
        return None
    said = line.removeprefix(word).rstrip("\n")
    return file.parent / said if line.startswith(word) and said and "\0" not in said else None


def _program(executable: str) -> Iterator[str]:
    """Yield the program and what lies beside it, through every symbolic link and the interpreter of a script."""
    for path in _hops(executable):
        yield path
        directory = os.path.dirname(path)
        above = os.path.dirname(directory)
        if os.path.basename(directory) in ("bin", "sbin"):
            yield directory
            yield from (f"{above}/{name}" for name in _BESIDE_BIN)
            if os.path.isfile(f"{above}/pyvenv.cfg"):
                yield above
    interpreter = _interpreter(executable)
    if interpreter is not None and interpreter != executable:
        yield from _program(interpreter)


def _hops(path: str) -> Iterator[str]:
    for _ in range(_MAX_LINKS):
        yield path
        if not os.path.islink(path):
            return
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))


def _interpreter(executable: str) -> str | None:
    """Return the program that runs a script, as far as its first line names one by an absolute path."""
    try:
        with open(executable, "rb") as file:
            first = file.readline(256)
    except OSError:
        return None
    words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
    return words[0] if words and words[0].startswith("/") else None


def _resolver(hidden: Sequence[str]) -> Iterator[str]:
    """Yield the file that says where names are looked up, which often lies in a hidden directory."""
    real = os.path.realpath("/etc/resolv.conf")
    if _below(real, hidden):
        yield real


def _follow(path: str, hidden: Sequence[str], links: dict[str, str]) -> str:
    """Return the real path, noting the symbolic links on the way that a command could not see otherwise."""
    left = path.strip("/").split("/")[::-1]
    real, hops = "", 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            real = os.path.dirname(real)
            continue
        here = f"{real}/{name}"
        if not os.path.islink(here) or hops > _MAX_LINKS:
            real = here
            continue
        hops += 1
        text = os.readlink(here)
        if _below(here, hidden):
            links[here] = text
        left.extend(text.split("/")[::-1])
        if text.startswith("/"):
            real = ""
    return real or "/"
