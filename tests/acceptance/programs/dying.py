"""Runs the real command line again and again, each time in a fresh fork, and kills it where it is told to.

Reads one JSON object a line: ``argv``; ``out``, the file for its standard output; and ``call`` or ``event``, the number
of the mutating file system call before which, or of the event after which, it kills itself with SIGKILL (0: never); or
``step``, the name of the step after the end of which it does.
Answers each with one line: the exit code, or -9.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

# What each fork would load anew is loaded once, here.
import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
import rfc8785  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401
import typer.main  # noqa: F401
import yaml  # noqa: F401

import lonelycat.checks.health.checker
import lonelycat.checks.health.command
import lonelycat.checks.services.restarter
import lonelycat.checks.verifier
import lonelycat.interfaces.cli.assemble
import lonelycat.interfaces.cli.boundary
import lonelycat.interfaces.cli.commands.execute
import lonelycat.interfaces.cli.commands.recover
import lonelycat.records.store
import lonelycat.runtime.overview
import lonelycat.runtime.pipeline
import lonelycat.runtime.service  # noqa: F401
from lonelycat.changes.model import Strict
from lonelycat.checks.containment import namespace_prefix
from lonelycat.executor.filesystem import FileSystem
from lonelycat.interfaces.cli import main
from lonelycat.runtime.steps import ExecutionContext

MUTATING = (
    "create_file", "open_append", "write", "truncate", "allocate", "set_mode", "set_owner", "set_attribute",
    "make_link", "hard_link", "move", "exchange", "replace", "unlink", "make_directory", "remove_directory", "fsync",
    "syncfs",
)  # fmt: skip


def dying_at(original: Callable[..., Any], numbers: count[int], at: int, *, first: bool) -> Callable[..., Any]:
    """Return ``original``, but that its call number ``at`` is the last: before it, or after it."""

    def call(*arguments: Any, **options: Any) -> Any:
        number = next(numbers)
        if number == at and first:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def dying_after(original: Callable[..., Any], step: str) -> Callable[..., Any]:
    """Return ``original``, but that the event that ends ``step`` is the last."""

    def emit(self: ExecutionContext, type_: str, **facts: Any) -> None:
        original(self, type_, **facts)
        if (type_, facts.get("step")) == ("step.finished", step):
            os.kill(os.getpid(), signal.SIGKILL)

    return emit


def build(model: type[Strict]) -> None:
    """Have pydantic build what reads and writes the models below ``model``, which it puts off to the first use."""
    for one in model.__subclasses__():
        one.model_rebuild()
        build(one)


def child(job: dict[str, Any]) -> None:
    """Run one command line; does not return."""
    out = os.open(job["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    numbers = count(1)
    if job.get("call"):
        for name in MUTATING:
            setattr(FileSystem, name, dying_at(getattr(FileSystem, name), numbers, job["call"], first=True))
    if job.get("event"):
        emit = dying_at(ExecutionContext.emit, numbers, job["event"], first=False)
        ExecutionContext.emit = emit  # type: ignore[method-assign]  # that is what this program is for
    if job.get("step"):
        ExecutionContext.emit = dying_after(ExecutionContext.emit, job["step"])  # type: ignore[method-assign]
    code = 1
    try:
        code = main(job["argv"])
    finally:
        sys.stdout.flush()
        os._exit(code)


build(Strict)
namespace_prefix()  # tries once whether there are namespaces
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        child(json.loads(line))
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 — the protocol
