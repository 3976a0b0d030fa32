"""How a decision looks: the verdict, why, what it is about, and what now."""

from __future__ import annotations

from collections.abc import Sequence

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.paths import printable
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance.decision import GovernanceDecision, Reason
from lonelycat.interfaces.cli.screen import Screen

_MOST_PATHS = 6
_MOST_FILES = 20
_LETTERS = {"create": ("A", "add"), "update": ("M", "hunk"), "delete": ("D", "del"), "rename": ("R", "warn")}
VERDICT_STYLES = {"ALLOW": "good", "NEED_APPROVAL": "warn", "DENY": "bad"}
_VERDICT_WORDS = {
    "ALLOW": "the policy allows this change",
    "NEED_APPROVAL": "a person has to approve this change",
    "DENY": "the policy forbids this change",
}


def show_decision(
    screen: Screen,
    plan: ChangePlan,
    changeset: ChangeSet,
    decision: GovernanceDecision,
    *,
    explanation: Sequence[str] = (),
) -> None:
    """Write the whole decision; ``explanation`` is the planner's, a sentence each."""
    verdict = str(decision.verdict)
    screen.line(
        (verdict, VERDICT_STYLES[verdict]),
        f"  {_VERDICT_WORDS[verdict]}   ",
        ("risk ", "dim"),
        str(decision.risk_level_effective),
    )
    screen.line(plan.intent, indent=2)
    screen.line((f"plan {plan.id}   by {plan.created_by}", "dim"), indent=2)
    _show_reasons(screen, decision)
    show_files(screen, changeset.changes)
    _show_checks(screen, plan)
    _show_list(screen, "how it was planned", explanation)


def _show_reasons(screen: Screen, decision: GovernanceDecision) -> None:
    if any(reason.counts for reason in decision.reasons):
        screen.line(("why", "title"))
    for reason in decision.reasons:
        if reason.counts:
            show_reason(screen, reason)
    for reason in decision.reasons:
        if not reason.counts:
            _show_lifted(screen, reason)
    _show_list(screen, "still needed", decision.required_actions)


def _show_list(screen: Screen, title: str, sentences: Sequence[str]) -> None:
    if sentences:
        screen.line((title, "title"))
    for sentence in sentences:
        screen.line(("- ", "dim"), sentence, indent=2)


def show_files(screen: Screen, changes: Sequence[FileChange]) -> None:
    """Write one line per file: what happens to it, and its path."""
    noun = "file" if len(changes) == 1 else "files"
    screen.line((f"{len(changes)} {noun}", "title"))
    for change in changes[:_MOST_FILES]:
        letter, style = _LETTERS[str(change.operation)]
        came = "" if change.old_path is None else f"{printable(change.old_path)} → "
        mode = ""
        if change.old_mode and change.new_mode and change.old_mode != change.new_mode:
            mode = f"  mode {change.old_mode} → {change.new_mode}"
        screen.line((letter, style), f" {came}{printable(change.path)}", (mode, "dim"), indent=2)
    if len(changes) > _MOST_FILES:
        screen.line((f"… and {len(changes) - _MOST_FILES} more", "dim"), indent=2)


def _show_checks(screen: Screen, plan: ChangePlan) -> None:
    pairs = (("verify", plan.verification_plan), ("restart", plan.services), ("health", plan.health_checks))
    named = [f"{kind}: {', '.join(names)}" for kind, names in pairs if names]
    if named:
        screen.line(("it will be judged by", "title"))
        for sentence in named:
            screen.line(sentence, indent=2)


def show_reason(screen: Screen, reason: Reason) -> None:
    """Write one reason: what, which rule, which paths, what to do."""
    verdict = str(reason.verdict)
    marks = {"ALLOW": "· ", "NEED_APPROVAL": "? ", "DENY": "✘ "}
    screen.line((marks[verdict], VERDICT_STYLES[verdict]), reason.message, indent=2)
    if reason.paths:
        more = len(reason.paths) - _MOST_PATHS
        shown = ", ".join(printable(path) for path in reason.paths[:_MOST_PATHS])
        screen.line(("paths ", "dim"), shown + (f" and {more} more" if more > 0 else ""), indent=4)
    raised = f", raises the risk to {reason.risk}" if reason.risk else ""
    screen.line(("rule  ", "dim"), f"{reason.rule}: {reason.code}, {verdict}{raised}", indent=4)
    if reason.hint:
        screen.line(("do    ", "dim"), reason.hint, indent=4)


def _show_lifted(screen: Screen, reason: Reason) -> None:
    why = f"exception {reason.excepted_by}" if reason.excepted_by else "shadow, does not count"
    screen.line((f"({why}) {reason.code}: {reason.message}", "dim"), indent=2)
