"""Running an execution for the command line, and its result as an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lonelycat.errors import LonelyCatError
from lonelycat.interfaces.cli.exits import exit_of_execution
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import is_allowed, judgement_facts, judgement_report
from lonelycat.interfaces.cli.render.execution import Progress, show_result, show_steps
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

if TYPE_CHECKING:
    from lonelycat.records.entries import ExecutionRow
    from lonelycat.records.execution import ExecutionResult
    from lonelycat.runtime.judgement import Judgement
    from lonelycat.runtime.service import LonelyCat


def execute(
    call: Invocation,
    service: LonelyCat,
    plan_id: str,
    *,
    dry_run: bool = False,
    lock_timeout: float | None = None,
    facts: Mapping[str, object] | None = None,
) -> Report:
    """Execute a plan with its steps shown as they run.

    Args:
        lock_timeout: seconds to wait for another execution; the policy's time for None.
        facts: what is already known of the plan, for the JSON object.

    Raises:
        KeyboardInterrupt: interrupted before anything was put in place; later than that it is a result.
    """
    progress = Progress(call.progress)
    try:
        result = service.execute(plan_id, dry_run=dry_run, on_event=progress, lock_timeout=lock_timeout)
    finally:
        progress.close()
    diff = service.preview(plan_id) if dry_run else b""
    return execution_report(result, steps_shown=progress.shown > 0, facts=facts, diff=diff)


def execute_judged(
    call: Invocation, service: LonelyCat, judgement: Judgement, *, lock_timeout: float | None = None
) -> Report:
    """Execute what was just proposed if the policy allows it; otherwise only say what was ruled."""
    if not is_allowed(judgement):
        return judgement_report(judgement)
    if not call.json_output:
        from lonelycat.interfaces.cli.render.decision import show_decision

        show_decision(call.out, judgement.plan, judgement.changeset, judgement.decision)
        call.out.line(("steps", "title"))
    facts = judgement_facts(judgement)
    return execute(call, service, judgement.plan.id, lock_timeout=lock_timeout, facts=facts)


def execution_report(
    result: ExecutionResult, *, steps_shown: bool, facts: Mapping[str, object] | None = None, diff: bytes = b""
) -> Report:
    """Return the answer of an execution."""

    def show(screen: Screen) -> None:
        if diff:
            from lonelycat.interfaces.cli.render.diff import show_diff

            show_diff(screen, diff)
        if not steps_shown:
            show_steps(screen, result.steps)
        show_result(screen, result)

    payload = {**(facts or {}), **execution_facts(result)}
    if diff:
        payload["diff"] = diff.decode("utf-8", "backslashreplace")
    return Report(
        exit_of_execution(result.success, result.status, result.error_code),
        payload,
        show,
        None if result.success else result.error_code or str(result.status).upper(),
        result.message,
        result.hint,
    )


def execution_facts(result: ExecutionResult) -> dict[str, object]:
    """Return what a program wants to know of ``result``, JSON-compatible."""
    everything = result.model_dump(mode="json")
    for name in ("message", "hint", "error_code"):
        del everything[name]
    conflicts = everything.pop("conflicts")
    return {**everything, "details": {"conflicts": conflicts}} if conflicts else everything


def intents_of(service: LonelyCat, rows: Sequence[ExecutionRow]) -> dict[str, str]:
    """Return what each execution's plan was for, by plan id; the code of the refusal where it cannot be read."""

    def intent(plan_id: str) -> str:
        try:
            return service.proposal(plan_id).plan.intent
        except LonelyCatError as error:
            return f"({error.code})"

    return {plan_id: intent(plan_id) for plan_id in {row.result.plan_id for row in rows}}
