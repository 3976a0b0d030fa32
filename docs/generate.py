"""Writes docs/cli.md from the command line itself, and what evidence.py does: ``python docs/generate.py``.

Run it after a change to a command, an option or a help text, and after ``make test-long`` has written new figures; a
test fails when a page lags.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lonelycat.interfaces.cli.assemble import build
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.registry import COMMANDS

PAGE = Path(__file__).with_name("cli.md")

_HEAD = """\
# Command line

Generated from the program by `docs/generate.py`; do not edit.

`lonelycat [-C WORKSPACE] [--json] COMMAND`

| option | means |
| --- | --- |
| `-C`, `--workspace` | work on this directory; else the nearest upwards with a `.lonelycat`, else the present |
| `--json` | print exactly one JSON object on standard output; `drift --watch` prints one a line |
| `--version` | print the version |
| `-h`, `--help` | show the help |

`-C`, `--json` and `--help` may stand before or after the command.
Results go to standard output, diagnostics to standard error.
`NO_COLOR` is honoured. Output that is piped has no colours.

With `--json` every answer has `ok`, `code` (null, or a code of [errors](errors.md)), `message`, `hint` and `exit_code`;
and where they exist `plan_id`, `changeset_id`, `checksum`, `decision_id`, `verdict`, `reasons`, `execution_id`,
`status`, `files_changed`, `steps`.
A CONFLICT has each path in `details.conflicts`: see [concepts](concepts.md#a-conflict).

The commands `serve`, `worker`, `mcp` and `hook` do not exist yet.

## Examples

<!-- situation: workspace -->
```console
$ git switch -q -c feature && echo "Open." >> README.md && git commit -q -a -m "Say open" && git switch -q main
$ lonelycat run --git main..feature --intent "Say open" --by agent:helper
ALLOW  the policy allows this change   risk LOW
…
COMPLETED  The change is in place, checked and kept.
…
$ lonelycat --json log --path README.md --since 1h | python3 -m json.tool | grep '"status"'
            "status": "completed",
$ echo "By hand." >> README.md
$ lonelycat --json drift | python3 -c 'import json, sys; print(json.load(sys.stdin)["drift"][0]["kind"])'
modified
$ lonelycat --json execute plan_unknown  # exits with 2
{"ok": false, "code": "PLAN_UNKNOWN", …}
$ lonelycat -C /home/ada/nowhere status  # exits with 2
error WORKSPACE_MISSING: /home/ada/nowhere is not a directory
…
```

## Exit codes

| code | means |
| --- | --- |
"""

_EXITS = {
    Exit.DONE: "done",
    Exit.UNEXPECTED: "unexpected error",
    Exit.USAGE: "bad usage or input",
    Exit.NEEDS_APPROVAL: "needs approval",
    Exit.REFUSED: "denied or rejected; of `health run`: a check fails",
    Exit.CONFLICT: "conflict; of `drift`: there is some",
    Exit.ROLLED_BACK: "rolled back",
    Exit.FROZEN: "rollback failed, or the workspace is frozen",
    Exit.LOCK_TIMEOUT: "lock time-out",
    Exit.INTERRUPTED: "interrupted",
}
_GLOBAL = frozenset({"workspace_option", "json_option"})


def page() -> str:
    """Return the whole page."""
    parser = build(None)
    parts = [_HEAD, *(f"| {int(code)} | {_EXITS[code]} |\n" for code in Exit)]
    panel = ""
    for name, entry in COMMANDS.items():
        if entry.panel != panel:
            panel = entry.panel
            parts.append(f"\n## {panel}\n")
        command = parser.commands[name]
        for words, one in _leaves(name, command):
            parts.append(_section(words, one))
    return "".join(parts)


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        yield words, command
        return
    for name, child in children.items():
        yield from _leaves(f"{words} {name}", child)


def _section(words: str, command: Any) -> str:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option" and item.name not in _GLOBAL]
    usage = " ".join(["lonelycat", words, *(_shown(item) for item in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"\n### {words}\n", command.help.strip(), f"\n```text\n{usage}\n```"]
    rows = [(f"`{_shown(item)}`", _help(item)) for item in arguments]
    rows += [(f"`{_spelled(item)}`", _help(item)) for item in options if item.name != "help"]
    if rows:
        lines += ["", "| | |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows)]
    return "\n".join(lines) + "\n"


def _shown(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    name = name if argument.required else f"[{name}]"
    return name if argument.nargs == 1 else f"{name}..."


def _spelled(option: Any) -> str:
    names = ", ".join(option.opts)
    return names if option.is_flag else f"{names} {option.metavar or 'VALUE'}".replace("|", "\\|")


def _help(parameter: Any) -> str:
    text = str(parameter.help or "").replace("|", "\\|")
    default = parameter.default
    if parameter.param_type_name == "option" and not parameter.is_flag and default not in (None, ""):
        text += f" Default: `{default}`."
    return f"{text} Required." if parameter.required and parameter.param_type_name == "option" else text


if __name__ == "__main__":
    import evidence

    PAGE.write_text(page(), encoding="utf-8")
    evidence.write()
    sys.exit(0)
