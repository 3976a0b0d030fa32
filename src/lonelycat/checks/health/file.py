"""Kind ``file``: something in the workspace is there, of the right type, fresh, and holds what is expected.

Invariant: the path, with every symbolic link followed, lies in the workspace; a FIFO or device never blocks the probe.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import (
    MATCH_BYTES,
    HealthKind,
    Pattern,
    ProbeContext,
    ProbeResult,
    WorkspacePath,
    failed,
    passed,
)
from lonelycat.checks.inside import resolve_inside

_CHUNK = 1024 * 1024


class FileParameters(Strict):
    """What must be there.

    Attributes:
        path: below the workspace root.
        type: a regular file, a directory, or a socket.
        contains: text that a file must hold, anywhere in it.
        matches: a pattern that the first 64 KiB of a file must match.
        min_bytes: least size of a file.
        max_age_seconds: how long ago it may have been modified at most; a time in the future is not fresh.
        writable: whether LonelyCat's user must be able to write to it.
        min_free_bytes: least free space on its file system.
    """

    path: WorkspacePath
    type: Literal["file", "directory", "socket"] = "file"
    contains: Annotated[str, Field(min_length=1, max_length=4_000)] | None = None
    matches: Pattern | None = None
    min_bytes: Annotated[int, Field(ge=0)] | None = None
    max_age_seconds: Annotated[float, Field(gt=0)] | None = None
    writable: bool = False
    min_free_bytes: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _content_needs_a_file(self) -> Self:
        if self.type != "file" and (self.contains or self.matches or self.min_bytes is not None):
            raise ValueError("contains, matches and min_bytes need type: file")
        return self


_TYPES = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "socket": stat.S_ISSOCK}
_CLOCK_SLACK_SECONDS = 2.0


def probe(context: ProbeContext, parameters: FileParameters, timeout: float) -> ProbeResult:
    """Look once."""
    shown = ascii(parameters.path)
    place = resolve_inside(context.workspace, parameters.path)
    try:
        facts = place.stat()
    except OSError as error:
        return failed("HEALTH_FILE_MISSING", f"{shown}: {error.strerror}")
    if not _TYPES[parameters.type](facts.st_mode):
        return failed("HEALTH_FILE_TYPE", f"{shown} is not a {parameters.type}")
    if parameters.min_bytes is not None and facts.st_size < parameters.min_bytes:
        return failed("HEALTH_FILE_CONTENT", f"{shown} has {facts.st_size} of {parameters.min_bytes} bytes")
    age = context.clock.now().timestamp() - facts.st_mtime
    if parameters.max_age_seconds is not None and not -_CLOCK_SLACK_SECONDS <= age <= parameters.max_age_seconds:
        return failed("HEALTH_FILE_STALE", f"{shown} was modified {age:.0f} s ago")
    if parameters.writable and not os.access(place, os.W_OK):
        return failed("HEALTH_FILE_NOT_WRITABLE", f"{shown} cannot be written to")
    if parameters.min_free_bytes is not None:
        free = shutil.disk_usage(place).free
        if free < parameters.min_free_bytes:
            return failed("HEALTH_FILE_NO_SPACE", f"{shown}: {free} of {parameters.min_free_bytes} bytes are free")
    return _content(context, parameters, place, shown, context.clock.monotonic() + timeout)


def _content(
    context: ProbeContext, parameters: FileParameters, place: Path, shown: str, deadline: float
) -> ProbeResult:
    if parameters.contains is None and parameters.matches is None:
        return passed(f"{shown} is there")
    try:
        with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - as fd
            head = file.read(MATCH_BYTES)
            if parameters.matches and not re.search(parameters.matches, head.decode("utf-8", "replace"), re.M):
                return failed("HEALTH_FILE_CONTENT", f"{shown} does not match {parameters.matches!r}")
            needle = (parameters.contains or "").encode()
            window = head
            while needle not in window:
                if context.clock.monotonic() > deadline:
                    return failed("HEALTH_FILE_TIMEOUT", f"{shown} was not read through in time")
                data = file.read(_CHUNK)
                if not data:
                    return failed("HEALTH_FILE_CONTENT", f"{shown} does not contain {parameters.contains!r}")
                window = window[-len(needle) :] + data
    except OSError as error:
        return failed("HEALTH_FILE_CONTENT", f"{shown} cannot be read: {error.strerror}")
    return passed(f"{shown} holds what is expected")


KIND = HealthKind(FileParameters, probe, isolated=False)
