"""Trees as values: what a workspace holds, a pure model of what a change set makes of it, and random cases of both."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lonelycat.changes.changeset import EXECUTABLE, REGULAR, SYMLINK, FileChange, Mode, check_changes
from lonelycat.errors import LonelyCatError

UMASK = 0o022


@dataclass(frozen=True)
class File:
    """A regular file: its bytes and all of its permission bits."""

    data: bytes
    mode: int = 0o644

    @property
    def git_mode(self) -> Mode:
        return EXECUTABLE if self.mode & 0o100 else REGULAR


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: bytes

    git_mode = SYMLINK

    @property
    def data(self) -> bytes:
        return self.target


@dataclass(frozen=True)
class Folder:
    """A directory and its permission bits."""

    mode: int = 0o755


Entry = File | Link | Folder
Tree = dict[str, Entry]


def snapshot(root: Path) -> Tree:
    """Return what ``root`` holds, without ``.lonelycat``."""
    found: Tree = {}

    def walk(directory: Path, prefix: str) -> None:
        with os.scandir(directory) as entries:
            for entry in entries:
                path = prefix + entry.name
                if path == ".lonelycat":
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    found[path] = Link(os.readlink(os.fsencode(entry.path)))
                elif stat.S_ISDIR(status.st_mode):
                    found[path] = Folder(stat.S_IMODE(status.st_mode))
                    walk(Path(entry.path), path + "/")
                else:
                    found[path] = File(Path(entry.path).read_bytes(), stat.S_IMODE(status.st_mode))

    walk(root, "")
    return found


def difference(found: Tree, wanted: Tree) -> str:
    """Return where two trees differ, in words."""
    return "; ".join(
        f"{path!r}: {found.get(path)} instead of {wanted.get(path)}"
        for path in sorted({*found, *wanted})
        if found.get(path) != wanted.get(path)
    )


def materialise(root: Path, tree: Tree) -> None:
    """Make ``root`` hold ``tree``."""
    root.mkdir(parents=True, exist_ok=True)
    for path in sorted(tree, key=lambda each: each.count("/")):
        entry, place = tree[path], root / path
        if isinstance(entry, Folder):
            place.mkdir()
        elif isinstance(entry, Link):
            os.symlink(entry.target, os.fsencode(place))
        else:
            place.write_bytes(entry.data)
            place.chmod(entry.mode)
    for path in sorted(tree, key=lambda each: -each.count("/")):
        entry = tree[path]
        if isinstance(entry, Folder):
            (root / path).chmod(entry.mode)


def parents(path: str) -> list[str]:
    """Return the directories above ``path``, shallowest first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def with_parents(tree: Tree) -> Tree:
    """Return ``tree`` with every directory that its paths need."""
    needed: Tree = {above: Folder() for path in tree for above in parents(path)}
    return {**needed, **tree}


def applied(tree: Tree, changes: Iterable[FileChange]) -> Tree:
    """Return what ``changes`` make of ``tree``: the model that the executor is held against.

    Directories that lose their last entry go, unless the change set puts something there; permission bits beyond
    git's are those of the file that is replaced or renamed.
    """
    after = dict(tree)
    changes = list(changes)
    gone: set[str] = set()
    for change in changes:
        if change.old_hash is not None:
            source = change.old_path or change.path
            del after[source]
            if source != change.path or change.new_hash is None:
                gone.add(source)
    placed: Tree = {}
    for change in changes:
        if change.new_hash is None:
            continue
        old = tree.get(change.old_path or change.path) if change.old_hash is not None else None
        kept = old.data if isinstance(old, File | Link) else b""
        data = change.content if isinstance(change.content, bytes) else kept
        placed[change.path] = _placed(data, change.new_mode, old)
    for directory in sorted({d for path in gone for d in parents(path)}, key=lambda each: -each.count("/")):
        below = directory + "/"
        if not any(path.startswith(below) for path in (*after, *placed)):
            after.pop(directory, None)
    after.update(placed)
    for path in sorted(placed):
        for above in parents(path):
            over = after.get(above.rpartition("/")[0], Folder())
            assert isinstance(over, Folder)
            after.setdefault(above, Folder(0o777 & ~UMASK | over.mode & 0o2000))  # setgid is inherited
    return after


def _placed(data: bytes, mode: str | None, old: Entry | None) -> Entry:
    if mode == SYMLINK:
        return Link(data)
    if not isinstance(old, File):
        return File(data, (0o777 if mode == EXECUTABLE else 0o666) & ~UMASK)
    if mode == old.git_mode:
        return File(data, old.mode)
    bits = old.mode | 0o100 | (old.mode & 0o444) >> 2 if mode == EXECUTABLE else old.mode & ~0o111
    return File(data, bits)


# -- random cases ----------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c.txt", "ü", "x y", "\udcff\udcfe", "#", "-n", "new\u00e9")
MODES = (0o644, 0o644, 0o755, 0o600, 0o640, 0o700, 0o444)


def random_path(rng: random.Random) -> str:
    """Return a path of one to three components from a few names, so that paths meet."""
    return "/".join(rng.choice(NAMES) for _ in range(rng.choice((1, 1, 2, 2, 3))))


def random_entry(rng: random.Random) -> File | Link:
    """Return a file or, sometimes, a link."""
    if rng.random() < 0.2:
        return Link(rng.choice((b"a", b"../x", b"\xff\xfe", b"/nowhere")))
    return File(rng.randbytes(rng.choice((0, 1, 9, 30))), rng.choice(MODES))


def random_tree(rng: random.Random, size: int = 8) -> Tree:
    """Return a tree of some files, links and empty directories."""
    tree: Tree = {}
    for _ in range(size):
        path = random_path(rng)
        if path in tree or any(isinstance(tree.get(d), File | Link) for d in parents(path)):
            continue
        if any(other.startswith(path + "/") for other in tree):
            continue
        tree[path] = Folder(rng.choice((0o755, 0o700, 0o750))) if rng.random() < 0.12 else random_entry(rng)
        for above in parents(path):
            tree.setdefault(above, Folder(rng.choice((0o755, 0o755, 0o711, 0o2775))))
    return tree


def random_changes(rng: random.Random, tree: Tree, wanted: int = 6) -> tuple[FileChange, ...]:
    """Return up to ``wanted`` changes that fit ``tree`` and each other; at least one."""
    files = [path for path, entry in tree.items() if not isinstance(entry, Folder)]
    rng.shuffle(files)
    chosen: list[FileChange] = []
    for _ in range(wanted * 20):
        if len(chosen) >= wanted:
            break
        change = _random_change(rng, tree, files)
        if change is not None and fits(tree, [*chosen, change]):
            chosen.append(change)
    return tuple(chosen) or (FileChange.create("fallback-name", b"only"),)


def _random_change(rng: random.Random, tree: Tree, files: Sequence[str]) -> FileChange | None:
    kind = rng.choice(("create", "update", "mode", "delete", "rename", "edit-rename", "swap"))
    if kind == "create" or not files:
        new = random_entry(rng)
        return FileChange.create(random_path(rng), new.data, mode=new.git_mode)
    path = rng.choice(files)
    old = tree[path]
    assert isinstance(old, File | Link)
    if kind == "delete":
        return FileChange.delete(path, old.data, mode=old.git_mode)
    if kind in ("update", "swap"):
        new = random_entry(rng)
        if (new.data, new.git_mode) == (old.data, old.git_mode):
            return None
        return FileChange.update(path, old.data, new.data, old_mode=old.git_mode, new_mode=new.git_mode)
    if kind == "mode":
        if isinstance(old, Link):
            return None
        other: Mode = REGULAR if old.git_mode == EXECUTABLE else EXECUTABLE
        return FileChange.update(path, old.data, old.data, old_mode=old.git_mode, new_mode=other)
    edited = rng.randbytes(20).hex().encode() if kind == "edit-rename" else None
    target = rng.choice((random_path(rng), path + "/" + rng.choice(NAMES), path.rpartition("/")[0] or "z"))
    if target == path:
        return None
    return FileChange.rename(path, target, old.data, new_content=edited, old_mode=old.git_mode)


def fits(tree: Tree, changes: Sequence[FileChange]) -> bool:
    """Tell whether ``changes`` can be made to ``tree``: no name twice, nothing in the way that does not go."""
    try:
        check_changes(changes)
    except LonelyCatError:
        return False
    gone = {change.old_path or change.path for change in changes if change.old_hash is not None}
    stays = {path: entry for path, entry in tree.items() if path not in gone}
    for change in changes:
        if change.new_hash is None or (change.old_hash is not None and change.old_path is None):
            continue
        path = change.path
        if any(not isinstance(stays.get(above, Folder()), Folder) for above in parents(path)):
            return False
        if not isinstance(stays.get(path, Folder()), Folder):
            return False
        if path in stays and not _is_emptied(tree, gone, path):
            return False
    return True


def _is_emptied(tree: Tree, gone: set[str], directory: str) -> bool:
    """Whether ``directory`` holds, at any depth, only what goes and the directories that only held that."""
    below = [path for path in tree if path.startswith(directory + "/")]
    emptied = {above for path in gone for above in parents(path)}
    return directory in emptied and all(path in gone or path in emptied for path in below)


def case(seed: int) -> tuple[Tree, tuple[FileChange, ...], Tree]:
    """Return the tree, the changes and the tree after them, of ``seed``."""
    rng = random.Random(seed)
    large = seed % 5 == 4  # enough of them to be made durable in one go
    tree = with_parents(random_tree(rng, 24 if large else 8))
    changes = random_changes(rng, tree, 16 if large else 6)
    return tree, changes, applied(tree, changes)
