"""Windows: times in which changes are held or refused, by the clock that the gate was given.

A window holds when all that it names holds: its dates (inclusive), its days, its times of day, in its time zone. A
window whose ``end`` is before its ``start`` runs over midnight and belongs to the day on which it starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo

from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Verdict, Window
from lonelycat.governance.rules.base import Finding, RuleContext

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MIDNIGHT = time(0)


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report every window that holds now and is about a touched path."""
    for window in context.policy.windows:
        if not is_open(window, context.now):
            continue
        paths = context.facts.select(compile_globs(window.paths, folds=True)) if window.paths else ()
        if window.paths and not paths:
            continue
        yield Finding(
            "FREEZE_WINDOW", Verdict(window.verdict), f"windows.{window.name}",
            window.reason or f"changes are held during {window.name}",
            "Wait until the window is over, or let a person approve or except the change.", paths, None, window.mode,
        )  # fmt: skip


def is_open(window: Window, now: datetime) -> bool:
    """Tell whether ``window`` holds at ``now`` (timezone-aware)."""
    local = now.astimezone(_zone(window.timezone))
    clock = local.time().replace(tzinfo=None)
    start, end = window.start or _MIDNIGHT, window.end
    if end is not None and end <= start and end != _MIDNIGHT:
        if clock >= start:
            return _holds_on(window, local)
        return clock < end and _holds_on(window, local - timedelta(days=1))
    return start <= clock and (end is None or end == _MIDNIGHT or clock < end) and _holds_on(window, local)


def _holds_on(window: Window, moment: datetime) -> bool:
    day = moment.date()
    return (
        (not window.days or _DAYS[day.weekday()] in window.days)
        and (window.from_date is None or window.from_date <= day)
        and (window.to_date is None or day <= window.to_date)
    )


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)
