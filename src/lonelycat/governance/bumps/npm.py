"""What npm reads: ``package.json`` and its lock, compared as the values that they are.

Invariants:
- Read strictly: a key that stands twice, a number or a text that readers disagree about is no version bump.
- In a manifest only versions and ranges rise, each with the operator that it had, and only between versions of the
  registry; what is text for people may change. Order counts wherever npm or Node may go by it.
- In a lock a package changes only with its own version: ``resolved`` is the old address with the new version in it,
  ``integrity`` is for that file, and nothing comes that could run (``bin``, an install script) or that has a new name.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lonelycat.changes import strict_json
from lonelycat.errors import InputError
from lonelycat.governance.bumps.versions import is_raised, parse_version

_RANGES = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
_FILE = ("version", "resolved", "integrity")
_FOR_PEOPLE = frozenset({"description", "keywords", "author", "contributors", "maintainers", "bugs", "funding"})
_FOR_PEOPLE_IN_LOCK = frozenset({"engines", "license", "funding", "deprecated"})
_RANGE = re.compile(r"(?P<operator>[~^]|>=|)(?P<version>[0-9][0-9A-Za-z.-]*)")
_PLAIN_RANGE = re.compile(r"[0-9A-Za-z.^~<>=| *+-]*")
_INTEGRITY = re.compile(r"sha512-[A-Za-z0-9+/]{86}==")


def manifest_only_raises(old: bytes, new: bytes) -> bool:
    """Tell whether a ``package.json`` says what it said, with versions raised."""
    before, after = _read(old), _read(new)
    return before is not None and after is not None and old != new and _manifest_raised(before, after)


def lock_only_raises(old: bytes, new: bytes) -> bool:
    """Tell whether a ``package-lock.json`` says what it said, with packages at higher versions."""
    before, after = _read(old), _read(new)
    if before is None or after is None or old == new or before.keys() != after.keys():
        return False
    names = _names(before)
    return all(
        _own_version_raised(before[key], after[key])
        if key == "version"
        else _packages_raised(before[key], after[key], names)
        if key in ("packages", "dependencies")
        else _same(before[key], after[key])
        for key in before
    )


def _read(data: bytes) -> dict[str, Any] | None:
    try:
        value = strict_json.loads(data)
    except InputError:
        return None
    return value if isinstance(value, dict) else None


def _same(old: object, new: object) -> bool:
    """Tell whether two values are the same, in the same order."""
    return json.dumps(old) == json.dumps(new)


def _manifest_raised(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return [key for key in old if key not in _FOR_PEOPLE] == [key for key in new if key not in _FOR_PEOPLE] and all(
        _own_version_raised(old[key], new[key])
        if key == "version"
        else _ranges_raised(old[key], new[key])
        if key in _RANGES
        else _same(old[key], new[key])
        for key in old
        if key not in _FOR_PEOPLE
    )


def _own_version_raised(old: object, new: object) -> bool:
    return _same(old, new) or (isinstance(old, str) and isinstance(new, str) and _version_raised(old, new))


def _version_raised(old: str, new: str) -> bool:
    before, after = parse_version(old), parse_version(new)
    return before is not None and after is not None and is_raised(before, after)


def _ranges_raised(old: object, new: object) -> bool:
    return (
        isinstance(old, dict)
        and isinstance(new, dict)
        and old.keys() == new.keys()
        and all(_range_raised(old[name], new[name]) for name in old)
    )


def _range_raised(old: object, new: object) -> bool:
    if old == new:
        return True
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    before, after = _RANGE.fullmatch(old), _RANGE.fullmatch(new)
    return (
        before is not None
        and after is not None
        and before["operator"] == after["operator"]
        and _version_raised(before["version"], after["version"])
    )


def _names(lock: dict[str, Any]) -> frozenset[str]:
    """Return the names of all packages that a lock holds."""
    found: set[str] = set()
    trees = [lock.get("packages"), lock.get("dependencies")]
    while trees:
        tree = trees.pop()
        for path, entry in tree.items() if isinstance(tree, dict) else ():
            if isinstance(entry, dict):
                found.add(path.rpartition("node_modules/")[2])
                trees.append(entry.get("dependencies"))
    return frozenset(found)


def _packages_raised(old: object, new: object, names: frozenset[str]) -> bool:
    if not isinstance(old, dict) or not isinstance(new, dict) or old.keys() != new.keys():
        return False
    return all(
        _same(entry, new[path])
        or (
            isinstance(entry, dict)
            and isinstance(new[path], dict)
            and (_manifest_raised(entry, new[path]) if path == "" else _package_raised(entry, new[path], names))
        )
        for path, entry in old.items()
    )


def _package_raised(old: dict[str, Any], new: dict[str, Any], names: frozenset[str]) -> bool:
    """Tell whether one package of a lock, or one that it brings along, is at a higher version from the same place."""
    stays = all(_same(old.get(field), new.get(field)) for field in _FILE)
    if not stays and not _file_raised(old, new):
        return False
    keys = (old.keys() | new.keys()) - frozenset(_FILE) - (frozenset() if stays else _FOR_PEOPLE_IN_LOCK)
    return all(
        _same(old.get(key), new.get(key))
        or (key == "dependencies" and _packages_raised(old.get(key), new.get(key), names))
        or (not stays and key in (*_RANGES, "requires") and _ranges_known(old.get(key, {}), new.get(key, {}), names))
        for key in keys
    )


def _file_raised(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Tell whether the file of a package is the one of a higher version, from the same place."""
    texts = [entry.get(field) for entry in (old, new) for field in _FILE]
    if not all(isinstance(text, str) for text in texts):
        return False
    low, source, _, high, address, digest = map(str, texts)
    return (
        _version_raised(low, high)
        and source.startswith("https://")
        and source.endswith(f"-{low}.tgz")
        and address == source.removesuffix(f"-{low}.tgz") + f"-{high}.tgz"
        and _INTEGRITY.fullmatch(digest) is not None
    )


def _ranges_known(old: object, new: object, names: frozenset[str]) -> bool:
    """Tell whether both are ranges, and the new ones ask only for packages of the lock, from the registry."""
    return (
        isinstance(old, dict)
        and isinstance(new, dict)
        and all(isinstance(asked, str) for asked in (*old.values(), *new.values()))
        and all(name in names and _PLAIN_RANGE.fullmatch(asked) is not None for name, asked in new.items())
    )
