"""What in ``pyproject.toml`` is for people, or makes a linter stricter, compared as the values that they are.

Invariants:
- Compared as the document that TOML says, so that a comment and layout count for nothing; the order of tables neither.
- What decides what is installed, built, run or published is not for people: names, requirements, entry points,
  licences, the file that becomes the description, and the classifier that keeps a project from being published.
- A linter only gets stricter: it ignores less, or selects more. Its other settings may name files and programs.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from lonelycat.governance.bumps.versions import is_raised, parse_version

_PRIVATE = "private ::"
_RUFF = (("tool", "ruff"), ("tool", "ruff", "lint"))
Path = tuple[str, ...]


def only_describes(before: str, after: str) -> bool:
    """Tell whether ``after`` is ``before`` with nothing changed but what is for people, or for a stricter linter.

    Args:
        before, after: the text of ``pyproject.toml``.
    """
    try:
        old, new = tomllib.loads(before), tomllib.loads(after)
        return before != after and all(_may_change(*each) for each in _differences(old, new, ()))
    except (tomllib.TOMLDecodeError, RecursionError):
        return False


def _differences(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Yield each place that differs, with what stands there (None for nothing); tables are gone into."""
    if isinstance(old, dict) and isinstance(new, dict) and path not in _RULES:
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), (*path, key))
    elif type(old) is not type(new) or old != new:
        yield path, old, new


def _may_change(path: Path, old: Any, new: Any) -> bool:
    rule = _RULES.get(path)
    return rule is not None and rule(old, new)


def _is_text(old: Any, new: Any) -> bool:
    return all(value is None or isinstance(value, str) for value in (old, new))


def _are_texts(old: Any, new: Any) -> bool:
    """Tell whether both are lists or tables of text, or of tables of text, as people and links are given."""
    return all(value is None or _is_flat(value) for value in (old, new))


def _is_flat(value: Any) -> bool:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return members is not None and all(
        isinstance(member, str) or (isinstance(member, dict) and all(isinstance(text, str) for text in member.values()))
        for member in members
    )


def _are_classifiers(old: Any, new: Any) -> bool:
    if not _are_texts(old, new) or not all(isinstance(value, list | None) for value in (old, new)):
        return False
    before, after = ({text for text in value or () if text.lower().startswith(_PRIVATE)} for value in (old, new))
    return before <= after


def _is_higher(old: Any, new: Any) -> bool:
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    low, high = parse_version(old), parse_version(new)
    return low is not None and high is not None and is_raised(low, high)


def _shrinks(old: Any, new: Any) -> bool:
    """Tell whether a list of codes loses some and gets none."""
    return _is_codes(old) and (new is None or _is_codes(new)) and not Counter(new or ()) - Counter(old)


def _grows(old: Any, new: Any) -> bool:
    """Tell whether a list of codes gets some and loses none; one that was not there replaces the default."""
    return _is_codes(old) and _is_codes(new) and not Counter(old) - Counter(new)


def _is_codes(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(code, str) for code in value)


_RULES: dict[Path, Callable[[Any, Any], bool]] = {
    ("project", "description"): _is_text,
    ("project", "version"): _is_higher,
    ("project", "keywords"): _are_texts,
    ("project", "classifiers"): _are_classifiers,
    ("project", "authors"): _are_texts,
    ("project", "maintainers"): _are_texts,
    ("project", "urls"): _are_texts,
    **{(*table, key): _shrinks for table in _RUFF for key in ("ignore", "extend-ignore")},
    **{(*table, key): _grows for table in _RUFF for key in ("select", "extend-select")},
}
"""What may change, and how."""
