"""``lonelycat health``: which health checks there are, and how they stand now."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.render.execution import duration
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

HELP = "List the policy's health checks, ask them now, and test whether they notice anything."

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Health checks; else all.", show_default=False)]


def list_(call: Invocation) -> Report:
    """List the policy's health checks, and the kinds that are installed."""
    listed = call.service().health_list()
    plug_ins = {name: source for name, source in listed.kinds.items() if source != "lonelycat"}

    def show(screen: Screen) -> None:
        for name, check in listed.checks.items():
            levels = ", ".join(level.name for level in check.required_for_risk)
            parts = [f"required for {levels}" if levels else "", f"of {', '.join(listed.services[name])}"
                     if listed.services[name] else "", "blocks when failing before"
                     if check.already_failing == "block" else ""]  # fmt: skip
            said = "; ".join(part for part in parts if part)
            screen.line((f"{name:<24} ", "id"), f"{check.kind:<12}", (f" {said}" if said else "", "dim"), indent=2)
            if name in listed.unproven:
                screen.line(("unproven: ", "warn"), "it has never failed, neither in a test nor for real", indent=4)
            if check.description:
                screen.line((check.description, "dim"), indent=4)
        if not listed.checks:
            screen.line("The policy has no health checks.", indent=2)
        screen.line(("kinds: ", "title"), ", ".join(name for name in listed.kinds if name not in plug_ins))
        for name, source in plug_ins.items():
            screen.line(f"{name}, from {source}", indent=2)

    facts = {
        "checks": [
            {
                "name": name,
                "kind": check.kind,
                "description": check.description,
                "required_for_risk": [level.name for level in check.required_for_risk],
                "already_failing": check.already_failing,
                "services": list(listed.services[name]),
                "proven": name not in listed.unproven,
            }
            for name, check in listed.checks.items()
        ],
        "kinds": [{"name": name, "from": source} for name, source in listed.kinds.items()],
    }
    return Report(Exit.DONE, facts, show, message=f"{len(listed.checks)} health checks")


def run(call: Invocation, names: Names = None) -> Report:
    """Ask one health check, some, or all of them now; changes nothing."""
    results = call.service().health_run(names or ())
    failing = [result for result in results if not result.ok]

    def show(screen: Screen) -> None:
        for result in results:
            mark = ("✔ ", "good") if result.ok else ("✘ ", "bad")
            code = (f"  {result.code}", "bad") if result.code else ""
            took = (f"{duration(result.duration_seconds):>8}", "dim")
            screen.line(mark, f"{result.name:<24} ", took, code, indent=2)
            screen.line((result.message.removeprefix(f"{result.name}: "), "dim"), indent=6)
        screen.line(("UNHEALTHY" if failing else "HEALTHY", "bad" if failing else "good"), f"  {message}")

    count = f"{len(results)} health check{'s' if len(results) > 1 else ''}"
    message = f"{len(failing)} of {count} fail" if failing else f"{count} hold{'s' if len(results) == 1 else ''}"
    facts = {
        "results": [
            {
                "name": result.name,
                "kind": result.kind.removeprefix("health:"),
                "ok": result.ok,
                "code": result.code,
                "message": result.message,
                "duration_seconds": round(result.duration_seconds, 6),
                "details": result.details,
            }
            for result in results
        ]
    }
    if not failing:
        return Report(Exit.DONE, facts, show, message=message)
    return Report(Exit.REFUSED, facts, show, "HEALTH_FAILING", message, "Look at the service, or at the check.")


def test(call: Invocation, names: Names = None) -> Report:
    """Break a copy of the services in a sandbox, and see which health checks notice; the live ones are not touched."""
    from lonelycat.interfaces.cli.render.health_test import Telling, facts_of, show_report

    telling = Telling(None if call.json_output else call.out)
    try:
        report = call.service().health_test(names or (), telling)
    finally:
        telling.close()
    facts, unnoticed = facts_of(report), report.unnoticed

    def show(screen: Screen) -> None:
        show_report(screen, report)

    if not report.faults:
        why = "; ".join(f"{name}: {reason}" for name, reason in report.skipped.items()) or "there are no services"
        return Report(
            Exit.REFUSED, facts, show, "HEALTH_TEST_NO_FAULTS", f"nothing could be broken: {why}",
            "Faults need a service of kind process or supervisor, or a database.",
        )  # fmt: skip
    if unnoticed:
        named = ", ".join(f"{one.fault} of {one.service}" for one in unnoticed)
        return Report(
            Exit.REFUSED, facts, show, "HEALTH_TEST_NOT_NOTICED", f"no health check notices: {named}",
            "Add a check that fails then, or make one stricter.",
        )  # fmt: skip
    return Report(Exit.DONE, facts, show, message=f"all {len(report.faults)} faults are noticed")


SUBCOMMANDS = {"list": list_, "run": run, "test": test}
