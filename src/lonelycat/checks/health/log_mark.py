"""What the kind ``log`` notes before a change, read back strictly.

Invariant: a mark that is not whole and possible is no mark. It may be torn, edited, of another kind or of an earlier
version; to guess what it left out would be to pass over lines that nobody has read.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from lonelycat.changes.model import Hash, Strict, as_tuple
from lonelycat.checks.health.kind import Mark
from lonelycat.errors import StepFailedError

_Whole = Annotated[int, Field(ge=0, lt=2**64)]
_Moment = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class NoLogYet(Strict):
    """There was no log; ``at`` is when nobody found one, in seconds since the epoch."""

    missing: Literal[True]
    at: _Moment


class EmptyLog(Strict):
    """There was a log with no whole line in it.

    Attributes:
        beside: inodes of the files beside it that a rotation may have made; they are not new.
    """

    device: _Whole
    inode: _Whole
    offset: Literal[0]
    end: Hash
    at: _Moment
    beside: Annotated[tuple[_Whole, ...], BeforeValidator(as_tuple)]


class LogPosition(Strict):
    """The log had been written up to ``offset``; ``end`` is the SHA-256 of what its end looked like there."""

    device: _Whole
    inode: _Whole
    offset: Annotated[_Whole, Field(gt=0)]
    end: Hash
    at: _Moment


LogMark = NoLogYet | EmptyLog | LogPosition
_FORMS: TypeAdapter[LogMark] = TypeAdapter(LogMark)


def read_mark(mark: Mark | None, now: float) -> LogMark:
    """Return ``mark`` as what it says.

    Args:
        now: seconds since the epoch.

    Raises:
        StepFailedError: ``HEALTH_NO_BASELINE`` where there is none, or it is not whole and possible.
    """
    if mark is None:
        raise StepFailedError("HEALTH_NO_BASELINE", "it is not known up to where it had been written before")
    try:
        read = _FORMS.validate_python(mark)
    except ValidationError as error:
        raise _unusable("it is torn, edited or of another version of LonelyCat") from error
    if read.at > now:
        raise _unusable("it is later than now: it was edited, or the clock was set back")
    return read


def _unusable(why: str) -> StepFailedError:
    return StepFailedError("HEALTH_NO_BASELINE", f"what was noted of it before the change cannot be used; {why}")
