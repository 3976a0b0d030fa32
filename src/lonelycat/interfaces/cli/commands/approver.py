"""``lonelycat approver``: keys of people who may approve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

HELP = "Make keys for people who may approve."


def new(
    call: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where the private key goes: outside the workspace.")
    ],
) -> Report:
    """Make a person's private key, and print the policy lines that let it approve."""
    public_key = call.service().new_approver_key(out, name)
    lines = ["approvals:", "  approvers:", f"    {_yaml_name(name)}:", f'      public_key: "{public_key}"']

    def show(screen: Screen) -> None:
        screen.line(("KEY MADE", "good"), f"  {out} (keep it private, and where the agent cannot read it)")
        screen.line(("add to the policy", "title"))
        for line in lines:
            screen.line(line, indent=2)
        screen.line(("what now: ", "title"), f"lonelycat approve PLAN_ID --by {name} --key {out}")

    facts = {"name": name, "private_key_path": str(out), "public_key": public_key, "policy_lines": "\n".join(lines)}
    return Report(Exit.DONE, facts, show)


def _yaml_name(name: str) -> str:
    import json

    return json.dumps(name, ensure_ascii=True)


SUBCOMMANDS = {"new": new}
