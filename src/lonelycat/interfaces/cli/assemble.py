"""Builds the typer application, of no more commands than the arguments need.

``-C`` and ``--json`` are accepted before and after the command, because agents put them there: every command's
signature gets them added here, once.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.registry import COMMANDS, Entry
from lonelycat.interfaces.cli.report import Report

Command = Callable[..., Report]
Answer = tuple[Invocation, Report]

_GLOBALS: dict[str, tuple[Any, object]] = {
    "workspace_option": (
        Annotated[
            Path | None,
            typer.Option(
                "-C", "--workspace", metavar="WORKSPACE", help="Work on this directory; else the present one."
            ),
        ],
        None,
    ),
    "json_option": (
        Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")],
        False,
    ),
}
_VERSION = (Annotated[bool, typer.Option("--version", help="Print the version.")], False)
_HELP = "Executes the changes that AI agents propose, without trusting the agent."


class Answered(Exception):
    """Carries an answer that was found before any command ran.

    Attributes:
        answer: the invocation and the report.
    """

    def __init__(self, call: Invocation, report: Report) -> None:
        super().__init__()
        self.answer: Answer = (call, report)


def build(names: list[str] | None) -> Any:
    """Return the parser for the commands in ``names`` (all of them for None).

    Invoking it returns the command's invocation and report.
    """
    app = _application(_HELP)
    app.callback(invoke_without_command=True)(_signed(_root, {**_GLOBALS, "version_option": _VERSION}))
    for name in COMMANDS if names is None else names:
        _add(app, name, COMMANDS[name])
    return typer.main.get_command(app)


def _application(help: str) -> typer.Typer:
    return typer.Typer(
        help=help,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _add(app: typer.Typer, name: str, entry: Entry) -> None:
    module = import_module(entry.module)
    if hasattr(module, "command"):
        function: Command = module.command
        app.command(name, help=function.__doc__, rich_help_panel=entry.panel)(_adapted(function))
        return
    group = _application(module.HELP)
    group.callback()(_signed(_group, _GLOBALS))
    for subname, function in module.SUBCOMMANDS.items():
        group.command(subname, help=function.__doc__)(_adapted(function))
    app.add_typer(group, name=name, help=module.HELP, rich_help_panel=entry.panel, no_args_is_help=False)


def _root(**given: Any) -> None:
    context: typer.Context = given["context"]
    call = context.obj = Invocation(given["workspace_option"], given["json_option"])
    if given["version_option"]:
        from lonelycat.interfaces.cli.commands.version import command

        raise Answered(call, command(call))
    if context.invoked_subcommand is None:
        raise Answered(call, no_command(context.get_help()))


def no_command(help: str) -> Report:
    """Return the report of a call that names no command: the help, and exit code 2."""
    return Report(
        Exit.USAGE,
        {"help": help},
        lambda screen: screen.lines(help.splitlines()),
        code="USAGE",
        message="no command was given",
        hint="`lonelycat --help` lists the commands.",
        problem=True,
    )


def _adapted(function: Command) -> Callable[..., Any]:
    """Return ``function`` without its first parameter, the invocation, and with the global options instead."""
    hints = typing.get_type_hints(function, include_extras=True)
    own = {
        name: (hints[name], parameter.default)
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]
    }

    def adapted(**given: Any) -> Answer:
        call = _invocation(given)
        return call, function(call, **given)

    return _signed(adapted, {**own, **_GLOBALS})


def _group(**given: Any) -> None:
    context = given["context"]
    context.obj = _invocation(given)


def _invocation(given: dict[str, Any]) -> Invocation:
    """Take the context and the global options out of ``given``; the innermost ``-C`` counts."""
    before: Invocation = given.pop("context").obj
    workspace, json_output = given.pop("workspace_option"), given.pop("json_option")
    return Invocation(workspace or before.workspace, json_output or before.json_output)


def _signed(function: Callable[..., Any], parameters: dict[str, tuple[Any, object]]) -> Callable[..., Any]:
    """Give ``function`` the signature that typer shall see: the context and ``parameters`` (annotation, default)."""
    every = {"context": (typer.Context, inspect.Parameter.empty), **parameters}
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect.signature looks for
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name, (annotation, default) in every.items()
        ]
    )
    function.__annotations__ = {name: annotation for name, (annotation, _) in every.items()}
    return function
