"""What a kind of health check is: its parameters, its probe, and what it notes before a change.

Invariants: a probe answers within its time limit, changes nothing, and says ok only when it saw what was asked for.
A kind from another distribution is one of these under an entry point of the group ``lonelycat.health_kinds``;
``conformance.py`` holds it to what is promised here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from lonelycat.changes.model import Strict, as_tuple
from lonelycat.checks.result import CheckResult
from lonelycat.clock import Clock
from lonelycat.settings import Limits

MATCH_BYTES = 64 * 1024
"""How much of a body, banner or file a pattern of the policy is matched against."""

Mark = Mapping[str, Any]
"""What a kind notes before a change, as a JSON object: it is kept in the journal and may come back from there."""


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What every probe may use.

    Attributes:
        workspace: root of the governed tree, absolute.
        clock: for deadlines.
        limits: bounds on captured output.
        pass_fds: descriptors that commands inherit.
        stop: when set, a running command is ended.
        secrets: the values of the environment variables that the parameters name, all of them set.
        mark: what the kind noted before the change; None when nothing was, or could be.
    """

    workspace: Path
    clock: Clock
    limits: Limits
    pass_fds: tuple[int, ...] = ()
    stop: threading.Event | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe saw; ``code`` is None exactly when ``ok``."""

    ok: bool
    code: str | None
    message: str
    output: bytes = b""
    details: dict[str, object] = field(default_factory=dict)

    def as_check(self, name: str, kind: str, seconds: float, **more: object) -> CheckResult:
        """Return it as the outcome of the check or restart ``name``, which took ``seconds``; ``more`` are details."""
        details = {**self.details, **more}
        return CheckResult(name, kind, self.ok, self.code, f"{name}: {self.message}", seconds, self.output, details)


def passed(message: str, output: bytes = b"", **details: object) -> ProbeResult:
    """Return a pass."""
    return ProbeResult(True, None, message, output, details)


def failed(code: str, message: str, output: bytes = b"", **details: object) -> ProbeResult:
    """Return a failure with its stable ``code``."""
    return ProbeResult(False, code, message, output, details)


@dataclass(frozen=True, slots=True)
class HealthKind:
    """One kind of health check.

    Attributes:
        parameters: the model of what the policy writes under ``with``.
        probe: ``probe(context, parameters, timeout)``, ``timeout`` in seconds; looks once and answers.
        take_mark: called like ``probe`` before a change; returns what the probes after it compare with, or None when
            there is nothing to note. It raises :class:`LonelyCatError` when it should note something and cannot.
        secret_variables: the names of the environment variables that hold what the parameters do not.
        isolated: run in a process of its own, which is killed when its time is up. False is for probes that are known
            to keep their limit and to leave nothing behind.
    """

    parameters: type[Strict]
    probe: Callable[[ProbeContext, Any, float], ProbeResult]
    take_mark: Callable[[ProbeContext, Any, float], Mark | None] | None = None
    secret_variables: Callable[[Any], Iterable[str]] | None = None
    isolated: bool = True

    def variables(self, parameters: Strict) -> tuple[str, ...]:
        """Return the environment variables that ``parameters`` name, sorted."""
        return () if self.secret_variables is None else tuple(sorted(set(self.secret_variables(parameters))))


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    return pattern


def _relative(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ValueError("must be a path below the workspace root")
    return path


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _as_tuple_of_codes(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, int) else value


Word = Annotated[str, Field(max_length=4_000), AfterValidator(_no_nul)]
Words = Annotated[tuple[Word, ...], BeforeValidator(as_tuple)]
CommandArgv = Annotated[tuple[Word, ...], BeforeValidator(as_tuple), Field(min_length=1)]
ExitCodes = Annotated[tuple[int, ...], BeforeValidator(_as_tuple_of_codes), Field(min_length=1)]
Pattern = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_compiles)]
WorkspacePath = Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(_relative)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
Port = Annotated[int, Field(ge=1, le=65_535)]
