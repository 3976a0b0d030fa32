"""Regular expressions that are compiled when they are first used.

Invariant: what :func:`late_pattern` returns does what ``re.compile`` of the same source would, only later. A short
command uses few of the expressions that its modules define, and compiling all of them takes it longer than its work.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


def late_pattern(source: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return the pattern of ``source``, not compiled yet; a source that is no expression raises at first use.

    Args:
        source, flags: as :func:`re.compile` takes them.
    """
    return cast("re.Pattern[AnyStr]", _LatePattern(source, flags))


_NAMES = tuple(name for name in dir(re.Pattern) if not name.startswith("_"))


class _Pattern:
    """What a late pattern is from its first use on: the compiled one's methods and attributes as its own."""

    def __init__(self, source: str | bytes, flags: int) -> None:
        self._source = source
        self._flags = flags


class _LatePattern(_Pattern):
    """A pattern that was not used yet."""

    def __getattr__(self, name: str) -> Any:
        compiled = re.compile(self._source, self._flags)
        self.__dict__.update((each, getattr(compiled, each)) for each in _NAMES)
        self.__class__ = _Pattern  # type: ignore[assignment]  # without this hook, look-ups cost what they always do
        return getattr(compiled, name)
