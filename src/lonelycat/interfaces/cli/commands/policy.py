"""``lonelycat policy``: does the policy load, do its examples hold, which rule decides, what may stand in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import judgement_facts
from lonelycat.interfaces.cli.options import ChangeSetFile, Git, Intent, Patch, PlanFile, ProposedBy, change_request
from lonelycat.interfaces.cli.render.decision import VERDICT_STYLES
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

HELP = "Check, test and explain the policy."

PolicyFile = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A policy file; else the one in force.", show_default=False)
]


def check(call: Invocation, file: PolicyFile = None) -> Report:
    """Load the policy, strictly, and say what is in it."""
    report = call.service().policy_check(file)
    policy = report.policy
    counts = {
        "categories": len(policy.categories),
        "escalations": len(policy.escalations),
        "windows": len(policy.windows),
        "exceptions": len(policy.exceptions),
        "verification": len(policy.verification),
        "health_checks": len(policy.health_checks),
        "services": len(policy.services),
        "tests": len(policy.tests),
    }

    def show(screen: Screen) -> None:
        screen.line(("VALID", "good"), f"  {report.source}: policy {policy.name}")
        for name, count in counts.items():
            screen.line(f"{count:>4}  {name.replace('_', ' ')}", indent=2)
        if report.shipped:
            screen.line(
                ("It is the one that LonelyCat ships; `lonelycat init` writes one that fits.", "warn"), indent=2
            )
        if report.trusted is False:
            screen.line(
                ("It was changed by something other than LonelyCat: every change needs a person.", "warn"), indent=2
            )
        screen.line((f"sha256 {report.sha256}", "dim"), indent=2)

    facts = {
        "source": report.source,
        "policy_hash": report.sha256,
        "name": policy.name,
        "shipped": report.shipped,
        "trusted": report.trusted,
        "counts": counts,
    }
    return Report(Exit.DONE, facts, show, message=f"{report.source} is valid")


def test(call: Invocation, file: PolicyFile = None) -> Report:
    """Run the policy's own examples through the gate."""
    report = call.service().policy_test(file)
    failed = [result for result in report.results if not result.passed]

    def show(screen: Screen) -> None:
        for result in report.results:
            mark = ("✔ ", "good") if result.passed else ("✘ ", "bad")
            screen.line(mark, result.name, indent=2)
            if not result.passed:
                screen.line(result.problem, indent=6)
        if report.passed:
            screen.line(("PASSED", "good"), f"  {len(report.results)} examples of {report.source}")
        else:
            screen.line(("FAILED", "bad"), f"  {message}")

    message = (
        f"{len(failed)} of {len(report.results)} examples fail"
        if report.results
        else f"{report.source} has no examples, so nothing was tested"
    )
    facts = {
        "source": report.source,
        "results": [
            {
                "name": result.name,
                "passed": result.passed,
                "expected": str(result.expected),
                "verdict": None if result.verdict is None else str(result.verdict),
                "codes": list(result.codes),
                "problem": result.problem,
            }
            for result in report.results
        ],
    }
    if report.passed:
        return Report(Exit.DONE, facts, show, message="every example holds")
    hint = "Mend the policy or the example."
    return Report(Exit.USAGE, facts, show, "POLICY_TESTS_FAILED", message, hint)


def explain(
    call: Invocation,
    patch: Patch = None,
    git: Git = None,
    changeset: ChangeSetFile = None,
    plan: PlanFile = None,
    intent: Intent = "What would the policy say?",
    by: ProposedBy = None,
) -> Report:
    """Say which rule decides about a change, and why."""
    request = change_request(patch, git, changeset, plan, intent, by)
    judgement, sentences = call.service().policy_explain(request)
    verdict = str(judgement.decision.verdict)

    def show(screen: Screen) -> None:
        screen.line((verdict, VERDICT_STYLES[verdict]), f"  risk {judgement.decision.risk_level_effective}")
        screen.lines(sentences, indent=2)

    return Report(Exit.DONE, {**judgement_facts(judgement), "sentences": list(sentences)}, show)


def schema(call: Invocation) -> Report:
    """Print the JSON Schema of the policy file."""
    document = call.service().policy_schema()
    text = json.dumps(document, indent=2, ensure_ascii=True) + "\n"
    return Report(
        Exit.DONE, {"schema": document}, lambda screen: screen.lines(text.splitlines()), raw=text.encode("ascii")
    )


PinsFrom = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="PLACE", help="Where GitHub's repositories are: an https address, or a directory of mirrors."
    ),
]
PrintOnly = Annotated[bool, typer.Option("--print", help="Print the file; propose nothing.")]


def pins(call: Invocation, place: PinsFrom = None, print_only: PrintOnly = False, by: ProposedBy = None) -> Report:
    """Read what the tags of pinned actions and hooks point to, and propose to know it."""
    from lonelycat.interfaces.cli.pinning import pins_report, printed_pins

    if place is not None and "://" not in place:
        place = str(Path(place).resolve())  # git asks from elsewhere, and so does whoever reads the proposal
    if print_only:
        return printed_pins(call.service().read_pins(base=place))
    return pins_report(call.service().policy_pins(base=place, by=by))


SUBCOMMANDS = {"check": check, "test": test, "explain": explain, "pins": pins, "schema": schema}
