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


class _LatePattern:
    """Stands for a pattern: every method is looked up in the compiled one, once, and kept."""

    def __init__(self, source: str | bytes, flags: int) -> None:
        self._source = source
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        # Compiling twice costs nothing: ``re`` keeps what it compiled.
        value = getattr(re.compile(self._source, self._flags), name)
        setattr(self, name, value)
        return value
