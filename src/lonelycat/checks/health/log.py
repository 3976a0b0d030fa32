"""Kind ``log``: nothing was written to a log since before the change that matches an error pattern.

Invariants:
- Only what is new counts: the mark says up to which byte the file had been written, and how its end looked.
- A log that was rotated is read on in the file that it became, then in those that took its place. Where the rest of
  the old one cannot be found, after a truncation for example, nobody knows what it said: a failure, not a pass.
- An empty log shows no truncation. What appears beside it and was written since is what it may have been rotated to.
- Reading is bounded in bytes and in time. More than the bound is a failure too.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field

from lonelycat.changes.model import Strict, as_tuple
from lonelycat.checks.health.kind import (
    MATCH_BYTES,
    HealthKind,
    Mark,
    Pattern,
    ProbeContext,
    ProbeResult,
    Word,
    failed,
    passed,
)
from lonelycat.checks.health.log_mark import EmptyLog, LogMark, LogPosition, NoLogYet, read_mark
from lonelycat.errors import StepFailedError

_CHUNK = 256 * 1024
_END_BYTES = 4096
_OVERLAP_BYTES = 1024
_SHOWN_LINES = 20
_TICK_SECONDS = 0.01
"""By how much the time of a file may lie before it was written: kernels that tick 100 times a second stamp so."""
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z")
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(as_tuple)]


class LogParameters(Strict):
    """Which log and what must not be in it.

    Attributes:
        path: absolute, or relative to the workspace root.
        pattern: what a line must not match.
        ignore: patterns of lines that do not count although they match.
        max_matches: how many lines may match.
        expect: what one of the new lines must match, so that silence is not taken for health.
        max_bytes: how much may have been written since; more is a failure.
    """

    path: Annotated[Word, Field(min_length=1)]
    pattern: Pattern
    ignore: Patterns = ()
    max_matches: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    expect: Pattern | None = None
    max_bytes: Annotated[int, Field(ge=1, le=1024 * 1024 * 1024)] = 16 * 1024 * 1024


class _Part(NamedTuple):
    path: Path
    start: int


class _Unknown(Exception):
    """What was written cannot be told; the arguments are a code and the reason."""


def take_mark(context: ProbeContext, parameters: LogParameters, timeout: float) -> Mark:
    """Note up to where the log has been written, to the start of a line that is still unfinished."""
    path = context.workspace / parameters.path
    now = context.clock.now().timestamp()
    try:
        with os.fdopen(_opened(path), "rb") as file:
            facts = os.fstat(file.fileno())
            end = _end_of(file.fileno(), facts.st_size)
    except FileNotFoundError:
        return {"missing": True, "at": now}
    unfinished = len(end) - (end.rfind(b"\n") + 1)
    offset = facts.st_size - (unfinished if unfinished < len(end) or facts.st_size <= _END_BYTES else 0)
    return {
        "device": facts.st_dev,
        "inode": facts.st_ino,
        "offset": offset,
        "end": _digest(end[: len(end) - (facts.st_size - offset)]),
        "at": now,
        **({} if offset else {"beside": [there.st_ino for one in _siblings(path) if (there := _facts(one))]}),
    }


def probe(context: ProbeContext, parameters: LogParameters, timeout: float) -> ProbeResult:
    """Read once what is new."""
    shown = ascii(parameters.path)
    deadline = context.clock.monotonic() + timeout
    try:
        mark = read_mark(context.mark, context.clock.now().timestamp())
    except StepFailedError as error:
        return failed(error.code, f"{shown}: {error.message}")
    try:
        parts = _new_parts(context.workspace / parameters.path, mark)
        return _judge(context, parameters, _lines(context, parts, parameters.max_bytes, deadline), shown)
    except _Unknown as unknown:
        code, why = unknown.args
        return failed(code, f"{shown} {why}")
    except OSError as error:
        return failed("HEALTH_LOG_MISSING", f"{shown} cannot be read: {error.strerror}")


def _judge(context: ProbeContext, parameters: LogParameters, lines: Iterator[bytes], shown: str) -> ProbeResult:
    wrong = re.compile(parameters.pattern)
    ignored = [re.compile(pattern) for pattern in parameters.ignore]
    expected = None if parameters.expect is None else re.compile(parameters.expect)
    matches, read, seen_expected, found = 0, 0, expected is None, list[bytes]()
    for line in lines:
        read += 1
        texts = [piece.decode("utf-8", "replace") for piece in _pieces(line)]
        seen_expected = seen_expected or (expected is not None and any(map(expected.search, texts)))
        if any(map(wrong.search, texts)) and not any(any(map(pattern.search, texts)) for pattern in ignored):
            matches += 1
            if len(found) < _SHOWN_LINES:
                found.append(line[:1_000])
    output = b"\n".join(found)
    if matches > parameters.max_matches:
        first = found[0][:200].decode("utf-8", "replace").strip()
        return failed("HEALTH_LOG_MATCH", f"{shown}: {matches} new lines match: {first!a}", output, matches=matches)
    if not seen_expected:
        return failed("HEALTH_LOG_SILENT", f"{shown}: none of {read} new lines matches {parameters.expect!r}", output)
    return passed(f"{shown}: {matches} of {read} new lines match", output, matches=matches, lines=read)


def _pieces(line: bytes) -> Iterator[bytes]:
    """Yield all of a line, in pieces that overlap where it is longer than what a pattern sees at once."""
    yield line[:MATCH_BYTES]
    for start in range(MATCH_BYTES - _OVERLAP_BYTES, len(line) - _OVERLAP_BYTES, MATCH_BYTES - _OVERLAP_BYTES):
        yield line[start : start + MATCH_BYTES]


def _new_parts(path: Path, mark: LogMark) -> list[_Part]:
    """Return the files and positions that hold what was written since ``mark``, oldest first."""
    current = _facts(path)
    if current is None:
        raise _Unknown("HEALTH_LOG_MISSING", "is not there")
    if isinstance(mark, NoLogYet):
        return [*_since(path, mark, {current.st_ino}), _Part(path, 0)]
    offset, was = mark.offset, (mark.device, mark.inode)
    if _identity(current) == was:
        if isinstance(mark, EmptyLog):
            return [*_since(path, mark, {current.st_ino, *mark.beside}), _Part(path, 0)]
        if current.st_size >= offset and _looks_as_marked(path, mark):
            return [_Part(path, offset)]
        copied = next((one for one in _siblings(path) if _looks_as_marked(one, mark)), None)
        if copied is None:
            raise _Unknown("HEALTH_LOG_TRUNCATED", "was truncated, and what it said before that is nowhere to be found")
        return [_Part(copied, offset), _Part(path, 0)]
    became = next((one for one in _siblings(path) if (facts := _facts(one)) and _identity(facts) == was), None)
    if became is None or not _looks_as_marked(became, mark):
        raise _Unknown("HEALTH_LOG_LOST", "was replaced, and the file that it was is nowhere to be found")
    return [_Part(became, offset), *_since(path, mark, {current.st_ino, was[1]}), _Part(path, 0)]


def _since(path: Path, mark: LogMark, known: set[int]) -> list[_Part]:
    """Return rotated files that were written after the mark and are neither the marked one nor the present one."""
    found = [(facts.st_mtime, one) for one in _siblings(path) if (facts := _facts(one)) and facts.st_ino not in known]
    return [_Part(one, 0) for written, one in sorted(found) if written > mark.at - _TICK_SECONDS]


def _siblings(path: Path) -> list[Path]:
    """Return the files beside ``path`` that a rotation may have made of it: its name and more."""
    real = path.resolve()
    try:
        names = os.listdir(real.parent)  # noqa: PTH208 - names, not paths: there may be many
    except OSError:
        return []
    begins = (f"{real.name}.", f"{real.name}-")
    stem, dot, suffix = real.name.rpartition(".")
    near = [name for name in names if name.startswith(begins) or (dot and name.startswith((f"{stem}-", f"{stem}."))
            and name.endswith(f".{suffix}"))]  # fmt: skip
    return [real.parent / name for name in sorted(near) if name != real.name and not name.endswith(_COMPRESSED)]


def _facts(path: Path) -> os.stat_result | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts if stat.S_ISREG(facts.st_mode) else None


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _looks_as_marked(path: Path, mark: EmptyLog | LogPosition) -> bool:
    """Whether ``path`` holds, up to the marked position, what the log held there."""
    try:
        with os.fdopen(_opened(path), "rb") as file:
            size, offset = os.fstat(file.fileno()).st_size, mark.offset
            return size >= offset and _digest(_end_of(file.fileno(), offset)) == mark.end
    except OSError:
        return False


def _opened(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a regular file")
    return descriptor


def _end_of(descriptor: int, size: int) -> bytes:
    start = max(0, size - _END_BYTES)
    return os.pread(descriptor, size - start, start)


def _digest(end: bytes) -> str:
    return hashlib.sha256(end).hexdigest()


def _lines(context: ProbeContext, parts: list[_Part], limit: int, deadline: float) -> Iterator[bytes]:
    """Yield the lines of ``parts``, without their ends, an unfinished last one included."""
    read = 0
    for part in parts:
        held = b""
        with os.fdopen(_opened(part.path), "rb") as file:
            file.seek(part.start)
            while data := file.read(_CHUNK):
                if context.clock.monotonic() > deadline:
                    raise _Unknown("HEALTH_LOG_TIMEOUT", "was not read through in time")
                read += len(data)
                if read > limit:
                    raise _Unknown("HEALTH_LOG_TOO_MUCH", f"has over {limit} new bytes")
                *whole, held = (held + data).split(b"\n")
                yield from whole
        if held:
            yield held


KIND = HealthKind(LogParameters, probe, take_mark, isolated=False)
