"""The options that more than one command takes, and the reading of the files that they name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lonelycat.errors import InputError
from lonelycat.settings import Limits

if TYPE_CHECKING:
    from lonelycat.runtime.requests import ChangeRequest

Patch = Annotated[
    str | None, typer.Option("--patch", metavar="FILE|-", help="A unified diff as git writes it; - is stdin.")
]
Git = Annotated[str | None, typer.Option("--git", metavar="RANGE", help="What changed between two commits: A..B.")]
ChangeSetFile = Annotated[str | None, typer.Option("--changeset", metavar="FILE|-", help="A change set as JSON.")]
PlanFile = Annotated[str | None, typer.Option("--plan", metavar="FILE|-", help="A change plan as JSON.")]
Intent = Annotated[str | None, typer.Option("--intent", metavar="TEXT", help="What the change is for, in a sentence.")]
ProposedBy = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who proposes it, such as agent:coder.")]
Person = Annotated[str, typer.Option("--by", metavar="NAME", help="The person who answers for it.")]
ApproverKey = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The approver's private key, kept outside the workspace."),
]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the record.")]
PlanId = Annotated[str, typer.Argument(metavar="PLAN_ID", help="The plan, as `propose` printed it.")]
Rebase = Annotated[
    str | None,
    typer.Option("--rebase", metavar="PLAN_ID", help="A stored plan's change, on today's content; alone."),
]
LockTimeout = Annotated[
    float | None,
    typer.Option("--lock-timeout", metavar="SECONDS", min=0.0, help="How long to wait for another execution."),
]


def change_request(
    patch: str | None, git: str | None, changeset: str | None, plan: str | None, intent: str | None, by: str | None
) -> ChangeRequest:
    """Return the request that the options describe, with the files' bytes.

    Raises:
        InputError: ``USAGE`` for two documents from stdin; ``FILE_UNREADABLE``, ``INPUT_TOO_LARGE`` for a file.
    """
    from lonelycat.runtime.requests import ChangeRequest

    if [patch, changeset, plan].count("-") > 1:
        raise InputError("USAGE", "only one document can come from stdin", "Put the other one in a file.")
    return ChangeRequest(
        patch=read_input(patch, "--patch"),
        git_range=git,
        changeset=read_input(changeset, "--changeset"),
        plan=read_input(plan, "--plan"),
        intent=intent,
        by=by,
    )


def read_input(name: str | None, option: str) -> bytes | None:
    """Return the bytes of the file ``name``, of standard input for ``-``, or None for None.

    Raises:
        InputError: ``FILE_UNREADABLE``, ``INPUT_TOO_LARGE`` or ``STDIN_IS_A_TERMINAL``.
    """
    if name is None:
        return None
    limit = Limits().max_input_bytes
    try:
        if name == "-":
            data = _from_stdin(option, limit)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError("FILE_UNREADABLE", f"{option} {name}: {why}", "Name a file that can be read.") from error
    if len(data) > limit:
        raise InputError("INPUT_TOO_LARGE", f"{option} {name}: over {limit} bytes", "Split the change.")
    return data


def _from_stdin(option: str, limit: int) -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("FILE_UNREADABLE", f"{option} -: standard input is closed", "Pipe the document in.")
    if sys.stdin.isatty():
        raise InputError(
            "STDIN_IS_A_TERMINAL", f"{option} -: nothing is piped in", "As in: git diff | lonelycat check --patch -"
        )
    return sys.stdin.buffer.read(limit + 1)
