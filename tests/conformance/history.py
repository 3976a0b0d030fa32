"""A real git repository with a long, odd, reproducible history, made with ``git fast-import``.

Every kind of event of :data:`EVENTS` happens many times: in turn, at places chosen by a seeded generator, so that
the same seed gives the same commits.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

REGULAR, EXECUTABLE, SYMLINK = b"100644", b"100755", b"120000"
_FOLDERS = ["", "src/", "src/core/", "docs/", "tests/", "assets/img/", "a b/", "größe/", "deep/er/and/deeper/"]
_STEMS = [
    "main",
    "with space",
    "naïve",
    "日本語",
    "quo'te",
    'double"quote',
    "-dash",
    "UPPER",
    "x.tar",
    "latin\udce9",
    "~t",
    "#h",
]


@dataclass
class Forest:
    """The tree as it grows, and what happened to it."""

    seed: int
    files: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    serial: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def fresh(self, suffix: str = ".txt") -> str:
        """Return a path that is not there and fits the tree."""
        while True:
            self.serial += 1
            folder, stem = self.random.choice(_FOLDERS), self.random.choice(_STEMS)
            path = f"{folder}{stem}{self.serial}{suffix}"
            parents = [path[:i] for i, c in enumerate(path) if c == "/"]
            if path not in self.files and not any(parent in self.files for parent in parents):
                return path

    def pick(self, *modes: bytes) -> str | None:
        """Return a path with one of ``modes``, or None."""
        paths = sorted(path for path, (mode, _) in self.files.items() if mode in (modes or (REGULAR, EXECUTABLE)))
        return self.random.choice(paths) if paths else None

    def text(self, lines: int | None = None, end: bytes = b"\n") -> bytes:
        """Return some lines of text."""
        count = self.random.randint(1, 60) if lines is None else lines
        return b"".join(b"line %d of %d%s" % (i, self.random.randint(0, 9999), end) for i in range(count))


def _create(forest: Forest) -> None:
    forest.files[forest.fresh()] = (REGULAR, forest.text())


def _create_empty(forest: Forest) -> None:
    forest.files[forest.fresh(".empty")] = (REGULAR, b"")


def _create_crlf(forest: Forest) -> None:
    forest.files[forest.fresh(".bat")] = (REGULAR, forest.text(12, b"\r\n"))


def _create_binary(forest: Forest) -> None:
    size = forest.random.choice([1, 50, 4_000, 70_000, 200_000])
    forest.files[forest.fresh(".bin")] = (REGULAR, b"\0" + forest.random.randbytes(size))


def _create_script(forest: Forest) -> None:
    forest.files[forest.fresh(".sh")] = (EXECUTABLE, b"#!/bin/sh\n" + forest.text(3))


def _create_unended(forest: Forest) -> None:
    forest.files[forest.fresh()] = (REGULAR, forest.text(5) + b"no newline here")


def _create_link(forest: Forest) -> None:
    forest.files[forest.fresh(".lnk")] = (SYMLINK, b"target-%d" % forest.serial)


def _edit(forest: Forest) -> None:
    path = forest.pick()
    if path is not None:
        mode, data = forest.files[path]
        lines = data.split(b"\n")
        at = forest.random.randrange(len(lines))
        lines[at : at + forest.random.randint(0, 2)] = [b"edited %d" % forest.random.randint(0, 10**9)]
        forest.files[path] = (mode, b"\n".join(lines))


def _rewrite_binary(forest: Forest) -> None:
    path = next((p for p in sorted(forest.files) if p.endswith(".bin")), None)
    if path is not None:
        mode, data = forest.files.pop(path)
        forest.files[path] = (mode, data[: len(data) // 2] + forest.random.randbytes(64) + data[len(data) // 2 :])


def _toggle_newline(forest: Forest) -> None:
    path = forest.pick()
    if path is not None:
        mode, data = forest.files[path]
        forest.files[path] = (mode, data[:-1] if data.endswith(b"\n") else data + b"\n")


def _change_line_ends(forest: Forest) -> None:
    path = forest.pick(REGULAR)
    if path is not None:
        data = forest.files[path][1]
        other = data.replace(b"\r\n", b"\n") if b"\r\n" in data else data.replace(b"\n", b"\r\n")
        forest.files[path] = (REGULAR, other)


def _change_mode(forest: Forest) -> None:
    path = forest.pick()
    if path is not None:
        mode, data = forest.files[path]
        forest.files[path] = (EXECUTABLE if mode == REGULAR else REGULAR, data)


def _rename(forest: Forest) -> None:
    path = forest.pick()
    if path is not None:
        forest.files[forest.fresh()] = forest.files.pop(path)


def _rename_and_edit(forest: Forest) -> None:
    path = forest.pick()
    if path is not None:
        mode, data = forest.files.pop(path)
        forest.files[forest.fresh()] = (EXECUTABLE if mode == REGULAR else REGULAR, data + b"one more line\n")


def _rename_directory(forest: Forest) -> None:
    folders = sorted({path.rpartition("/")[0] for path in forest.files if "/" in path})
    if folders:
        folder, forest.serial = forest.random.choice(folders), forest.serial + 1
        for path in sorted(forest.files):
            if path.startswith(folder + "/"):
                forest.files[f"moved{forest.serial}/{path.rpartition('/')[2]}"] = forest.files.pop(path)


def _swap(forest: Forest) -> None:
    one, two = forest.pick(), forest.pick()
    if one is not None and two is not None:
        forest.files[one], forest.files[two] = forest.files[two], forest.files[one]


def _delete(forest: Forest) -> None:
    path = forest.pick(REGULAR, EXECUTABLE, SYMLINK)
    if path is not None and len(forest.files) > 5:
        del forest.files[path]


def _file_to_link(forest: Forest) -> None:
    path = forest.pick()
    if path is not None:
        forest.files[path] = (SYMLINK, b"../elsewhere/%d" % forest.random.randint(0, 99))


def _link_to_file(forest: Forest) -> None:
    path = forest.pick(SYMLINK)
    if path is not None:
        forest.files[path] = (REGULAR, forest.text(4))


def _retarget_link(forest: Forest) -> None:
    path = forest.pick(SYMLINK)
    if path is not None:
        forest.files[path] = (SYMLINK, b"other-%d" % forest.random.randint(0, 10**6))


def _file_to_directory(forest: Forest) -> None:
    path = forest.pick(REGULAR, EXECUTABLE, SYMLINK)
    if path is not None:
        del forest.files[path]
        forest.files[f"{path}/inside/one.txt"] = (REGULAR, forest.text(3))
        forest.files[f"{path}/two.txt"] = (REGULAR, forest.text(3))


def _directory_to_file(forest: Forest) -> None:
    folders = sorted({path.partition("/inside/")[0] for path in forest.files if "/inside/" in path})
    if folders:
        folder = forest.random.choice(folders)
        for path in [path for path in forest.files if path.startswith(folder + "/")]:
            del forest.files[path]
        forest.files[folder] = (REGULAR, forest.text(2))


EVENTS: dict[str, Callable[[Forest], None]] = {
    "create": _create,
    "create empty": _create_empty,
    "create CRLF": _create_crlf,
    "create binary": _create_binary,
    "create script": _create_script,
    "create without newline": _create_unended,
    "create link": _create_link,
    "edit": _edit,
    "rewrite binary": _rewrite_binary,
    "toggle newline": _toggle_newline,
    "change line ends": _change_line_ends,
    "change mode": _change_mode,
    "rename": _rename,
    "rename and edit": _rename_and_edit,
    "rename directory": _rename_directory,
    "swap": _swap,
    "delete": _delete,
    "file to link": _file_to_link,
    "link to file": _link_to_file,
    "retarget link": _retarget_link,
    "file to directory": _file_to_directory,
    "directory to file": _directory_to_file,
}


def build_history(root: Path, *, commits: int = 320, seed: int = 7) -> Counter[str]:
    """Make a repository at ``root`` with ``commits`` commits on ``main``, each of which changes something.

    Args:
        root: a directory that does not exist yet.
        commits: how many.
        seed: of the generator.

    Returns:
        How often each event took place.
    """
    forest = Forest(seed)
    stream: list[bytes] = []
    names = list(EVENTS)
    for number in range(commits):
        before = dict(forest.files)
        done: list[str] = []
        for turn in range(forest.random.randint(1, 4) if number else 30):
            name = names[(number + turn * 7) % len(names)]
            snapshot = dict(forest.files)
            EVENTS[name](forest)
            if forest.files != snapshot:
                forest.counts[name] += 1
                done.append(name)
        if forest.files == before:
            _create(forest)
            forest.counts["create"] += 1
        stream.append(_commit(number, ", ".join(done), before, forest.files))
    root.mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    git = ["git", "-C", str(root), "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q"], check=True, env=environment)
    subprocess.run([*git, "fast-import", "--quiet"], input=b"".join(stream), check=True, env=environment)
    return forest.counts


def _commit(
    number: int, message: str, before: dict[str, tuple[bytes, bytes]], after: dict[str, tuple[bytes, bytes]]
) -> bytes:
    text = message.encode()
    parts = [
        b"commit refs/heads/main\ncommitter History <history@example.org> %d +0000\n" % (1_700_000_000 + number),
        b"data %d\n%s\n" % (len(text), text),
    ]
    parts += [b"D %s\n" % _quoted(path) for path in before if path not in after]
    for path, (mode, data) in after.items():
        if before.get(path) != (mode, data):
            parts.append(b"M %s inline %s\ndata %d\n%s\n" % (mode, _quoted(path), len(data), data))
    return b"".join(parts)


def _quoted(path: str) -> bytes:
    raw = path.encode("utf-8", "surrogateescape")
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
