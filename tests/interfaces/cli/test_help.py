"""Every command of the design exists, and every command, argument and option says what it is."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from lonelycat.interfaces.cli.assemble import build
from lonelycat.interfaces.cli.registry import COMMANDS

DESIGN = frozenset(
    {
        *("init", "propose", "check", "approve", "reject", "execute", "run", "revert", "status", "log", "show", "diff"),
        *("recover", "doctor", "unfreeze", "policy", "audit", "gc", "demo"),
    }
)


def every_parser() -> dict[str, Any]:
    root = build(None)
    found: dict[str, Any] = {}
    for name, command in root.commands.items():
        found[name] = command
        for subname, subcommand in getattr(command, "commands", {}).items():
            found[f"{name} {subname}"] = subcommand
    return found


def test_every_command_of_the_design_is_there() -> None:
    assert set(COMMANDS) >= DESIGN
    assert {"policy check", "policy test", "policy explain", "policy schema", "audit verify", "audit export"} <= set(
        every_parser()
    )


@pytest.mark.parametrize("name", sorted(every_parser()))
def test_it_has_help_and_takes_the_global_options(name: str) -> None:
    command = every_parser()[name]
    assert command.help and command.help.strip().endswith("."), name
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--json", "-C"} <= options
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", ""), f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_is_shown_and_fits(name: str, cli: Any) -> None:
    done = cli(name, "--help")
    assert done.code == 0
    assert f"Usage: lonelycat {name}" in done.text
    assert max(map(len, done.text.splitlines())) <= 100
    assert cli(name, "--help", "--json").json["help"].startswith("Usage: ")


def test_one_module_a_command() -> None:
    modules = [entry.module for entry in COMMANDS.values()]
    assert len(modules) == len(set(modules))
    for name, entry in COMMANDS.items():
        assert entry.module.endswith(f".{name}")
        assert inspect.getdoc(import_module(entry.module))
