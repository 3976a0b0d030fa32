"""Which commit each tag of an action's or hook's repository was seen to point to: an input of the gate, not a look.

A commit says nothing about who wrote it: a host serves the commits of every fork under the name of the original. What
ties one to its owner is a tag of the owner's own repository, and that can only be seen by asking there. Somebody does
so (``runtime/pin_reading.py``) and writes down what was seen; here it is only looked up.

Invariants:
- The file belongs to the policy: its bytes are part of the policy's hash, so that another file voids what was decided.
- A file that cannot be read knows nothing, and says why; nothing passes by it.
- A commit is known for one repository and for no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from lonelycat.changes.digest import sha256_hex

VERSION_TAG = re.compile(r"v?(?P<numbers>[0-9]{1,9}(?:\.[0-9]{1,9}){0,3})")
"""Tags that are a version; others (bundles, nightly builds) are no step up from anything and are not written down."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GITHUB = re.compile(r"https://github\.com/([^/]+/[^/]+?)(?:\.git)?/?")
FORMAT = 1


def repository_key(address: str) -> str:
    """Return the name under which a repository is written down: ``owner/name`` on GitHub, else its whole address.

    Args:
        address: ``owner/name`` or an ``https`` address, as a workflow or pre-commit's configuration names it.
    """
    on_github = _GITHUB.fullmatch(address)
    return (on_github[1] if on_github else address.removesuffix(".git")).lower()


def version_of(tag: str) -> tuple[int, ...]:
    """Return the numbers of a tag that :data:`VERSION_TAG` matches, without zeros at their end."""
    numbers = [int(number) for number in tag.removeprefix("v").split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


class KnownPins:
    """The tags and commits that were seen, read from ``pins.json`` when first asked.

    Args:
        data: the file's bytes; None when there is no file.
    """

    def __init__(self, data: bytes | None = None) -> None:
        self._data = data

    @classmethod
    def of(cls, seen: Mapping[str, Mapping[str, str]]) -> KnownPins:
        """Return the pins that ``seen`` has: commit by tag, by repository."""
        return cls(render(seen))

    @property
    def exists(self) -> bool:
        """Whether anybody wrote anything down."""
        return self._data is not None

    def bound_to(self, policy_sha256: str) -> str:
        """Return the hash that stands for a policy together with these pins: the policy's own where there are none."""
        if self._data is None:
            return policy_sha256
        return sha256_hex(f"policy {policy_sha256}\npins {sha256_hex(self._data)}\n".encode())

    @cached_property
    def problem(self) -> str:
        """Why the file cannot be read; empty when it can, or when there is none."""
        return self._read[0]

    @cached_property
    def repositories(self) -> Mapping[str, Mapping[str, str]]:
        """Commit by tag, by repository."""
        return self._read[1]

    def tags_of(self, repository: str, commit: str) -> tuple[str, ...] | None:
        """Return the tags that pointed to ``commit``; None when nothing is known of ``repository``."""
        tags = self.repositories.get(repository_key(repository))
        return None if tags is None else tuple(tag for tag, seen in tags.items() if seen == commit)

    @cached_property
    def _read(self) -> tuple[str, dict[str, dict[str, str]]]:
        if self._data is None:
            return "", {}
        from lonelycat.changes import strict_json
        from lonelycat.errors import InputError

        try:
            found = _checked(strict_json.loads(self._data))
        except InputError as error:
            return f"the file of known pins cannot be read: {error.message}", {}
        if found is None:
            return "the file of known pins has another shape than `lonelycat policy pins` writes", {}
        return "", found


def _checked(document: Any) -> dict[str, dict[str, str]] | None:
    if not isinstance(document, dict) or document.keys() != {"format", "repositories"} or document["format"] != FORMAT:
        return None
    repositories = document["repositories"]
    if not isinstance(repositories, dict):
        return None
    for repository, tags in repositories.items():
        if repository != repository_key(repository) or not isinstance(tags, dict):
            return None
        for tag, commit in tags.items():
            if not VERSION_TAG.fullmatch(tag) or not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
                return None
    return repositories


def render(seen: Mapping[str, Mapping[str, str]]) -> bytes:
    """Return the file that says what was seen, the same for the same; one tag a line, so that a diff can be read."""
    import json

    ordered = {
        key: dict(sorted(tags.items(), key=lambda item: (version_of(item[0]), item[0])))
        for key, tags in sorted((repository_key(repository), tags) for repository, tags in seen.items())
    }
    return (json.dumps({"format": FORMAT, "repositories": ordered}, indent=1, ensure_ascii=True) + "\n").encode()
