"""Text in which people write down what they depend on: requirements, project files, build files.

Invariants:
- Each changed line is a line that stood there with versions raised; lines neither come nor go.
- A line with an address, a git reference or a host by number is no version bump: what changes in it may lead to
  somebody else.
- Where lines are commands, only ``name==1.2`` and its like is a version; a bare number may mean anything.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from lonelycat.governance.bumps.versions import Version, are_raised, versions_in, without_versions

_LISTS = re.compile(
    r"(?:.*/)?(?:[^/]*requirements[^/]*\.(?:txt|in)|requirements/[^/]+\.(?:txt|in)|constraints[^/]*\.txt|vendor\.txt"
    r"|environment\.ya?ml|go\.(?:mod|work)|pom\.xml|[^/]*\.csproj|packages\.config|composer\.json|Gemfile(?:\.lock)?"
    r"|\.tool-versions)"
)
"""Here every number with a dot is a version."""
_REQUIREMENTS = re.compile(r"(?:.*/)?(?:[^/]*requirements[^/]*|requirements/[^/]+|constraints[^/]*)\.(?:txt|in)")
_PROJECTS = re.compile(
    r"(?:.*/)?(?:pyproject\.toml|setup\.py|Cargo\.toml|Pipfile|[^/]*\.gemspec|[^/]*\.gradle(?:\.kts)?|[^/]*\.toml"
    r"|mix\.exs|Package\.swift|build\.sbt|rebar\.config|pnpm-workspace\.ya?ml|deps\.edn|project\.clj)"
)
"""Here one in quotes is, on a line without any outside of quotes."""
_ELSEWHERE = re.compile(r"^\s*(?:FROM\s|image:\s|version\s*=\s)", re.IGNORECASE | re.ASCII)
"""And on such a line of any other file."""
_QUOTES = re.compile(r"\"[^\"]*\"|'[^']*'")
_REQUIREMENT = re.compile(r"\s+[A-Za-z0-9][\w.-]*(?:\[[\w,-]*\])?\s?(?:[<>]=?|[=~]=)[\s0-9.,<>=!~*]*", re.ASCII)
_ADDRESS = re.compile(
    r"://|git[+@:]|\bgit\s*=|\.git\b|@\s|(?:[0-9]{1,3}\.){3}[0-9]{1,3}[/:]|[0-9]:[0-9]+/|\b(?:rev|ref|branch|tag)\s*="
)

_WITHOUT = re.compile(r"^(?:exclude|retract)\b", re.MULTILINE)
"""A list of versions that must not be used: raising one of them lets it in."""


def only_raises(path: str, before: str, after: str) -> bool:
    """Tell whether ``after`` is ``before`` with versions raised, or comments changed in a list for pip, and no more."""
    if path.rpartition("/")[2] in ("go.mod", "go.work") and _WITHOUT.search(after):
        return False
    kept, fresh = Counter(_lines(path, before)), Counter(_lines(path, after))
    removed, added = list((kept - fresh).elements()), list((fresh - kept).elements())
    if not added and not removed:
        return before != after and _REQUIREMENTS.fullmatch(path) is not None
    if not added or any(_ADDRESS.search(line) for line in (*removed, *added)):
        return False
    old, new = _by_skeleton(path, removed), _by_skeleton(path, added)
    return old.keys() == new.keys() and all(
        len(old[skeleton]) == len(new[skeleton])
        and all(are_raised(low, high) for low, high in zip(old[skeleton], new[skeleton], strict=True))
        for skeleton in old
    )


def _lines(path: str, text: str) -> list[str]:
    """Return the lines; in lists for pip without comments, which say by way of whom a package came."""
    lines = text.split("\n")
    if not _REQUIREMENTS.fullmatch(path) or "\\\n" in text:
        return lines
    return [line for line in lines if not line.lstrip(" ").startswith("#")]


def _by_skeleton(path: str, lines: Iterable[str]) -> dict[str, list[list[Version]]]:
    """Return the versions in ``lines``, line by line, by what is left of the line without them."""
    found: defaultdict[str, list[list[Version]]] = defaultdict(list)
    for line in lines:
        compared_only = not _counts_all(path, line)
        skeleton = without_versions(line, compared_only=compared_only)
        found[skeleton].append(versions_in(line, compared_only=compared_only))
    return found


def _counts_all(path: str, line: str) -> bool:
    """Tell whether every version in ``line`` is one that is depended on."""
    if _LISTS.fullmatch(path) or _ELSEWHERE.match(line):
        return True
    if path.rpartition("/")[2] in ("setup.cfg", "tox.ini"):
        return _REQUIREMENT.fullmatch(line) is not None
    return (
        _PROJECTS.fullmatch(path) is not None
        and '"' in line.replace("'", '"')
        and not versions_in(_QUOTES.sub("", line))
    )
