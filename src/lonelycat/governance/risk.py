"""How risky a change set is, by what it touches and how much; used by the planner to propose and the gate to rule.

Invariants:
- Risk only rises: every finding names a level, and the assessment is the highest of them.
- A planner without contents comes to the gate's own level or to a higher one: content that is looked at here can
  only show that a change is less than its path says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lonelycat.changes.changeset import REGULAR, ChangeSet, Operation
from lonelycat.changes.plan import RiskLevel
from lonelycat.governance.facts import Facts
from lonelycat.governance.governed import governance_paths
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Escalation, Policy, Verdict
from lonelycat.governance.rules.base import Finding

MASS_DELETION_FILES = 10
"""This many deletions in one change set are a mass deletion …"""
MASS_DELETION_BELOW = 5
"""… and so are this many below one directory."""
MAX_DOUBTS = 5
"""How many doubts about pins one reason lists."""
_FRAGMENT_GLOBS = ("{news,newsfragments,changelog.d,changes.d,.changeset}/*.{md,rst,txt}",)
"""Notes that a release gathers into the change log and deletes: they are made to go."""


class RiskAssessment(NamedTuple):
    """The level a change set comes to and every finding that raised it; shadow findings do not count."""

    level: RiskLevel
    reasons: tuple[Finding, ...]


def assess_risk(policy: Policy, changeset: ChangeSet, facts: Facts | None = None) -> RiskAssessment:
    """Return the risk of ``changeset`` under ``policy``.

    Args:
        facts: what is known of the contents; by default what the change set itself carries.
    """
    known = facts or Facts(changeset.changes, max_scan_bytes=policy.content.max_scan_bytes)
    reasons = tuple(risk_findings(policy, known))
    counting = [
        finding.risk for finding in reasons if finding.risk and finding.counts and finding.code not in policy.shadow
    ]
    return RiskAssessment(max([policy.default_risk, *counting]), reasons)


def risk_findings(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Yield every finding that raises the risk."""
    yield from _governance(facts)
    yield from _categories(policy, facts)
    yield from _deletions(facts)
    for escalation in policy.escalations:
        yield from _escalation(escalation, facts)


def category_paths(policy: Policy, name: str, facts: Facts) -> tuple[str, ...]:
    """Return the touched paths that belong to the category ``name``, sorted."""
    category = policy.categories[name]
    return facts.select(compile_globs(category.paths, folds=True), compile_globs(category.except_paths))


def governance_glob(path: str) -> str | None:
    """Return the pattern by which ``path`` is escalated under every policy, or None."""
    return governance_paths().first(path)


def _governance(facts: Facts) -> Iterator[Finding]:
    governed = facts.select(governance_paths())
    if not governed:
        return
    from lonelycat.governance.bumps.ci_upkeep import ci_change  # late: most changes touch no such file
    from lonelycat.governance.bumps.pins import PinChange

    changes = {
        member.change.path: ci_change(member.change.path, member.old, member.new, facts.known_pins)
        for member in facts.members
        if member.change.path in governed
        and member.change.operation is Operation.UPDATE
        and member.change.old_mode == member.change.new_mode == REGULAR
    }
    upkeep = {path: change for path, change in changes.items() if change is not None}
    moved = {path: change for path, change in upkeep.items() if change.pins is PinChange.MOVED}
    powerful = tuple(path for path in governed if path not in upkeep)
    if powerful:
        yield Finding(
            "GOVERNANCE_PATH", Verdict.NEED_APPROVAL, "builtin.governance_paths",
            "gives power over the policy, the tools, the checks or the machines that use this workspace",
            "A person other than the proposer has to approve it.", powerful, RiskLevel.HIGH,
        )  # fmt: skip
    if moved:
        doubts = tuple(dict.fromkeys(doubt for change in moved.values() for doubt in change.doubts))
        yield Finding(
            "PIN_MOVED", Verdict.NEED_APPROVAL, "builtin.governance_paths",
            f"takes the same actions or hooks at another commit or tag: {_listed(doubts)}",
            "Compare each commit with the tag that it is said to be, as `git ls-remote --tags` on the action's "
            "repository shows it: a commit of anybody's fork resolves there too. `lonelycat policy pins` does so "
            "for all of them.", tuple(moved), RiskLevel.HIGH,
        )  # fmt: skip
    for code, message, paths in (
        ("PIN_VERIFIED", "takes the same actions or hooks at commits that higher tags of their owners point to",
         tuple(path for path, change in upkeep.items() if change.pins is PinChange.VERIFIED)),
        ("PIN_RAISED", "takes the same actions or hooks at higher tags of their owners",
         tuple(path for path, change in upkeep.items() if change.pins is PinChange.RAISED)),
        ("CI_UPKEEP", "changes what is tested with or the words of it, so that no more can happen than before",
         tuple(path for path, change in upkeep.items() if change.tended and path not in moved)),
    ):  # fmt: skip
        if paths:
            yield Finding(
                code, Verdict.ALLOW, "builtin.governance_paths", message, "", paths, RiskLevel.MEDIUM
            )  # fmt: skip


def _listed(doubts: tuple[str, ...]) -> str:
    shown = "; ".join(doubts[:MAX_DOUBTS])
    return f"{shown}; and {len(doubts) - MAX_DOUBTS} more" if len(doubts) > MAX_DOUBTS else shown


def _categories(policy: Policy, facts: Facts) -> Iterator[Finding]:
    for name, category in policy.categories.items():
        if category.risk <= policy.default_risk:
            continue
        paths = category_paths(policy, name, facts)
        if paths:
            yield Finding(
                "CATEGORY_RISK", Verdict.ALLOW, f"categories.{name}",
                category.description or f"changes to {name} are {category.risk.name}", "", paths, category.risk,
            )  # fmt: skip


def _deletions(facts: Facts) -> Iterator[Finding]:
    deleted = tuple(path for path in facts.deleted_paths if not compile_globs(_FRAGMENT_GLOBS).matches(path))
    below: dict[str, int] = {}
    for path in deleted:
        for position in (index for index, char in enumerate(path) if char == "/"):
            below[path[:position]] = below.get(path[:position], 0) + 1
    emptied = sorted(directory for directory, count in below.items() if count >= MASS_DELETION_BELOW)
    if len(deleted) >= MASS_DELETION_FILES or emptied:
        where = f", {below[emptied[-1]]} of them below {emptied[-1]}/" if emptied else ""
        yield Finding(
            "MASS_DELETION", Verdict.NEED_APPROVAL, "builtin.mass_deletion",
            f"{len(deleted)} files are deleted or emptied{where}",
            "A person has to confirm that all of them should go.", deleted, RiskLevel.HIGH,
        )  # fmt: skip


def _escalation(escalation: Escalation, facts: Facts) -> Iterator[Finding]:
    members = list(facts.members)
    if escalation.operations:
        members = [member for member in members if member.change.operation.value in escalation.operations]
    if escalation.paths:
        matcher = compile_globs(escalation.paths, folds=True)
        members = [member for member in members if any(map(matcher.matches, member.change.paths))]
    if len(members) < (escalation.min_files or 1):
        return
    if escalation.min_patch_lines and not facts.patch_lines_reach(escalation.min_patch_lines, members):
        return
    yield Finding(
        "ESCALATED", Verdict.ALLOW, f"escalations.{escalation.name}",
        escalation.reason or f"the conditions of {escalation.name} hold", "",
        tuple(sorted(member.change.path for member in members)), escalation.risk, escalation.mode,
    )  # fmt: skip
