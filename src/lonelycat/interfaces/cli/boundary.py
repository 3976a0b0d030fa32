"""The one place where an error becomes an exit code and a text.

Invariants:
- No traceback reaches a user: an unexpected exception is one line, a hint, and a file that holds the traceback.
- With ``--json`` exactly one JSON object goes to standard output, whatever happens.
- A reader that went away is no error: a broken pipe is quiet and the exit code is the command's own.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import nullcontext, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from lonelycat.errors import Category, LonelyCatError
from lonelycat.interfaces.cli.exits import BY_CATEGORY, Exit
from lonelycat.interfaces.cli.interrupts import one_interrupt
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.registry import COMMANDS
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import QuietStream, Screen

if TYPE_CHECKING:
    from lonelycat.changes.conflict import Conflict

Answer = tuple[Invocation, Report]

_UNTOUCHED = "Your files were not touched."
_TOUCHED: dict[Category, str] = {
    Category.INTERNAL: "If a change was being executed, `lonelycat status` says where it stands.",
    Category.INTERRUPTED: "`lonelycat status` says where things stand.",
    Category.ROLLED_BACK: "Your files are as they were before.",
}
_MAY_TOUCH = frozenset({"execute", "run", "confirm", "revert", "recover", "demo"})
"""The commands in which a change may be under way when an error ends them; `status` says where it stands."""
_IDS: tuple[str, ...] = ("plan_id", "changeset_id", "decision_id", "execution_id")


def run(argv: list[str]) -> int:
    """Run the command in ``argv`` and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    asked = Invocation(json_output=_before_dashes(argv, "--json"))
    try:
        with one_interrupt():
            call, report = _answer(argv, asked)
    except KeyboardInterrupt:
        call, report = asked, interrupted()
    return int(_deliver(call, report))


def _answer(argv: list[str], asked: Invocation) -> Answer:
    """Parse and run; every failure becomes a report."""
    import typer

    from lonelycat.interfaces.cli.assemble import Answered, build

    helped = io.StringIO()
    try:
        parser = build(_commands_needed(argv))
        quiet = asked.json_output and _before_dashes(argv, "--help", "-h")
        with (
            redirect_stdout(helped) if quiet else nullcontext(),
            parser.make_context("lonelycat", list(argv)) as context,
        ):
            answer: Answer = parser.invoke(context)
        return answer
    except Answered as early:
        call, report = early.answer
        return (asked if asked.json_output else call), report
    except typer.Exit:  # only --help ends so
        return asked, Report(Exit.DONE, {"help": helped.getvalue()}, message="help")
    except typer.TyperException as error:
        return asked, usage_error(error.format_message())
    except LonelyCatError as error:
        return asked, from_error(error, may_touch=_may_touch(argv))
    except KeyboardInterrupt:
        raise
    except BrokenPipeError:
        return asked, Report(Exit.UNEXPECTED, code="BROKEN_PIPE", message="the reader of the output went away")
    except Exception as error:  # noqa: BLE001 (this is the boundary: nothing may pass it)
        from lonelycat.runtime.steps import as_machine_error

        refused = as_machine_error(error)
        if refused is not None:
            return asked, from_error(refused, may_touch=_may_touch(argv))
        return asked, unexpected(error, _workspace_named(argv))


def usage_error(message: str) -> Report:
    """Return the report of arguments that cannot be understood."""
    return _problem(
        Exit.USAGE, "USAGE", message, "`lonelycat --help` and `lonelycat COMMAND --help` say what there is."
    )


def from_error(error: LonelyCatError, *, may_touch: bool = True) -> Report:
    """Return the report of a deliberate error; ids in its details stand at the top of the object.

    Args:
        may_touch: whether a change may have been under way when it happened.
    """
    payload: dict[str, object] = {key: error.details[key] for key in _IDS if key in error.details}
    if error.details:
        payload["details"] = error.details
    touched = _TOUCHED.get(error.category, _UNTOUCHED) if may_touch else _UNTOUCHED
    conflicts: tuple[Conflict, ...] = ()
    if error.category is Category.CONFLICT:
        from lonelycat.changes.conflict import conflicts_of

        conflicts = conflicts_of(error)
    return _problem(BY_CATEGORY[error.category], error.code, error.message, error.hint, payload, touched, conflicts)


def interrupted() -> Report:
    """Return the report of a command that was interrupted outside an execution."""
    return _problem(
        Exit.INTERRUPTED,
        "INTERRUPTED",
        "interrupted before it was finished",
        "Nothing is left half done: what a change had touched was put back, or the next command puts it back.",
        {},
        _TOUCHED[Category.INTERRUPTED],
    )


def unexpected(error: Exception, workspace: Path | None) -> Report:
    """Return the report of a defect, with the traceback in a file."""
    from lonelycat.interfaces.cli.crash import write_crash_file

    path = write_crash_file(error, workspace)
    return _problem(
        Exit.UNEXPECTED,
        "INTERNAL_ERROR",
        f"an unexpected error inside LonelyCat: {type(error).__name__}",
        f"This is a defect; please report it with {path}." if path else "This is a defect; please report it.",
        {"traceback_file": path},
        _TOUCHED[Category.INTERNAL],
    )


def _problem(
    exit: Exit,
    code: str,
    message: str,
    hint: str,
    payload: dict[str, object] | None = None,
    touched: str = _UNTOUCHED,
    conflicts: tuple[Conflict, ...] = (),
) -> Report:
    from lonelycat.interfaces.cli.render.problem import problem_shower

    show = problem_shower(code, message, hint, touched, conflicts)
    return Report(exit, payload or {}, show, code, message, hint, problem=True)


def _deliver(call: Invocation, report: Report) -> Exit:
    """Write the report to where it belongs; return the exit code of the process."""
    target = QuietStream(sys.stdout)
    if call.json_output:
        target.write(json.dumps(_told(report), ensure_ascii=True, default=str) + "\n")
    elif report.problem:
        target.flush()
        screen = Screen(sys.stderr)
        report.show(screen)
        return _after_writing(report.exit, target.failure or screen.stream.failure)
    elif report.raw is not None and not sys.stdout.isatty():
        target.write_bytes(report.raw)
    else:
        report.show(call.out)
        target = call.out.stream
    target.flush()
    return _after_writing(report.exit, target.failure)


def _told(report: Report) -> dict[str, object]:
    """Return the one object with credentials masked, in the names of files say, but for what is to be exact."""
    whole = report.json_object()
    if report.raw is not None:
        return whole
    return {key: value if key == "diff" else _masked(value) for key, value in whole.items()}


def _masked(value: object) -> object:
    """Mask every text of a JSON value; one without a credential stays exactly what it is, whatever its characters."""
    if isinstance(value, str):
        from lonelycat.governance.secrets import masked

        return masked(value)
    if isinstance(value, dict):
        return {_masked(key): _masked(member) for key, member in value.items()}
    return [_masked(member) for member in value] if isinstance(value, list | tuple) else value


def _after_writing(exit: Exit, failure: OSError | None) -> Exit:
    if failure is None:
        return exit
    # The interpreter flushes standard output once more at its end; there must be someone to take it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(failure, BrokenPipeError):
        return exit
    QuietStream(sys.stderr).write(f"error OUTPUT_FAILED: the answer could not be written: {failure.strerror}\n")
    return exit if exit is not Exit.DONE else Exit.UNEXPECTED


def _before_dashes(argv: list[str], *wanted: str) -> bool:
    end = argv.index("--") if "--" in argv else len(argv)
    return any(word in wanted for word in argv[:end])


def _commands_needed(argv: list[str]) -> list[str] | None:
    """Return the command that ``argv`` names, so that no other has to be imported; None for all of them."""
    words = iter(argv)
    for word in words:
        if word in ("-C", "--workspace"):
            next(words, None)
        elif not word.startswith("-"):
            return [word] if word in COMMANDS else None
    return [] if "--version" in argv else None


def _may_touch(argv: list[str]) -> bool:
    named = _commands_needed(argv)
    return named is None or not _MAY_TOUCH.isdisjoint(named)


def _workspace_named(argv: list[str]) -> Path | None:
    """Return the directory after ``-C``, as far as it can be told from arguments that may not parse."""
    return next((Path(value) for word, value in pairwise(argv) if word in ("-C", "--workspace")), None)
