"""Every command that a message or a hint names can be copied and run: it exists, and lacks nothing that it needs."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.test_help import every_parser

import lonelycat

SOURCE = Path(lonelycat.__file__).parent
_NAMED = re.compile(r"`lonelycat ([a-z][^`]*)`")


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each text of a module that is no docstring, with ``x`` for what is filled in."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)  # of a module, a class, a function or an attribute
    }
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | parts:
            yield node.lineno, node.value


def _named_commands() -> list[Any]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for line, text in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(SOURCE)}:{line}"
            found += [pytest.param(command, id=f"{where} {command}") for command in _NAMED.findall(text)]
    return found


def test_there_are_hints_to_look_at() -> None:
    assert len(_named_commands()) > 40


@pytest.mark.parametrize("text", _named_commands())
def test_a_command_that_a_hint_names_can_be_run(text: str) -> None:
    words = shlex.split(text)
    parsers = every_parser()
    if words[0] in ("--json", "-C"):
        pytest.fail("global options come last in a hint, so that the command is read first")
    name = " ".join(words[:2]) if " ".join(words[:2]) in parsers else words[0]
    assert name in parsers, f"`lonelycat {text}` names no command"
    rest = words[len(name.split()) :]
    if not rest and name in WHOLE_COMMANDS:
        return
    parsers[name].make_context(name, rest)


WHOLE_COMMANDS = {"health", "policy", "propose", "run"}
"""Named for what they do, in a sentence about the arguments that were given."""
