"""Whether a change does nothing but raise versions of what a file already names.

Most changes to dependency files are these, and holding each of them teaches people to say yes unread. What is then
held is what deserves a look: a new name, another source, a lower version, a leap, a command.

Invariants:
- Closed by default: bytes that are unknown, not UTF-8, too long or of another shape are no version bump.
- With versions taken out (in lock files also the hashes that go with them), nothing is left that did not stand there
  before: no new name, source, host, key, option or command.
- What is trusted afterwards is who was trusted before: the owner of a name at the place that it came from.
"""

from __future__ import annotations

MAX_BYTES = 2 << 20
"""A larger file is not looked at."""


def only_raises_versions(path: str, old: bytes | None, new: bytes | None) -> bool:
    """Tell whether ``new`` is ``old`` with versions raised and what is for people changed, and nothing else.

    Args:
        path: the file's name, which says what kind of file it is.
        old, new: the whole file before and after; None when unknown, which is never a version bump.
    """
    if old is None or new is None or max(len(old), len(new)) > MAX_BYTES:
        return False
    # Imported here, as most changes touch no such file, and reading them takes many expressions.
    from lonelycat.governance.bumps import locks, manifests, npm, projects

    try:
        before, after = old.decode("utf-8"), new.decode("utf-8")
    except UnicodeDecodeError:
        return False
    name = path.rpartition("/")[2]
    if name == "pyproject.toml" and projects.only_describes(before, after):
        return True
    if name == "package.json":
        return npm.manifest_only_raises(old, new)
    if name in ("package-lock.json", "npm-shrinkwrap.json"):
        return npm.lock_only_raises(old, new)
    if name in ("go.sum", "go.work.sum"):
        return locks.go_sum_only_raises(before, after)
    for pattern, split in locks.READERS:
        if pattern.fullmatch(path) and locks.has_hashes(before, after):
            return locks.only_raises(split, before, after)
    return manifests.only_raises(path, before, after)
