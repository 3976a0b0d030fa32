"""Plans that lie: about what they touch, how risky it is, how it is judged, and what was approved."""

from __future__ import annotations

from tests.hostile.workspace import Case, Forge, append, create, edit

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan, RiskLevel


def _docs() -> list[FileChange]:
    return [append("docs/index.md", b"More.\n")]


def _source() -> list[FileChange]:
    return [edit("src/app/core.py", b"sum(numbers)", b"sum(numbers, 0)")]


def _plan(**update: object) -> Forge:
    def forge(plan: ChangePlan, changeset: ChangeSet) -> tuple[ChangePlan, ChangeSet]:
        return plan.model_copy(update=update), changeset

    return forge


def _changeset(**update: object) -> Forge:
    def forge(plan: ChangePlan, changeset: ChangeSet) -> tuple[ChangePlan, ChangeSet]:
        return plan, changeset.model_copy(update=update)

    return forge


def _swapped_content(plan: ChangePlan, changeset: ChangeSet) -> tuple[ChangePlan, ChangeSet]:
    first = changeset.changes[0].model_copy(update={"content": b"import os; os.system('id')\n"})
    return plan, changeset.model_copy(update={"changes": (first, *changeset.changes[1:])})


def _swapped_path(plan: ChangePlan, changeset: ChangeSet) -> tuple[ChangePlan, ChangeSet]:
    first = changeset.changes[0].model_copy(update={"path": "src/app/core.py"})
    return plan, changeset.model_copy(update={"changes": (first, *changeset.changes[1:])})


def _swapped_mode(plan: ChangePlan, changeset: ChangeSet) -> tuple[ChangePlan, ChangeSet]:
    first = changeset.changes[0].model_copy(update={"new_mode": "100755"})
    return plan, changeset.model_copy(update={"changes": (first, *changeset.changes[1:])})


def _smuggled_path(plan: ChangePlan, changeset: ChangeSet) -> tuple[ChangePlan, ChangeSet]:
    first = changeset.changes[0].model_copy(update={"path": "../outside"})
    return plan, changeset.model_copy(update={"changes": (first, *changeset.changes[1:])})


def _low_risk(plan: ChangePlan, changeset: ChangeSet) -> tuple[ChangePlan, ChangeSet]:
    return plan.model_copy(update={"risk_level_proposed": RiskLevel.LOW, "confidence": 1.0}), changeset


CASES = (
    Case("paths left out", _source, "PATHS_UNDECLARED", forge=_plan(affected_paths=("docs/index.md",))),
    Case(
        "one path left out",
        lambda: [*_docs(), *_source()],
        "PATHS_UNDECLARED",
        forge=_plan(affected_paths=("docs/index.md",)),
    ),
    Case("unknown profile", _source, "UNKNOWN_PROFILE", forge=_plan(verification_plan=("always-green",))),
    Case("unknown profile beside a real one", _docs, "UNKNOWN_PROFILE", forge=_plan(verification_plan=("syntax", "x"))),
    Case("unknown health check", _docs, "UNKNOWN_HEALTH_CHECK", forge=_plan(health_checks=("fine",))),
    Case("unknown service", _docs, "UNKNOWN_SERVICE", forge=_plan(services=("sshd",))),
    Case("no verification", _source, "VERIFICATION_REQUIRED", forge=_plan(verification_plan=())),
    Case(
        "low risk claimed for CI",
        lambda: [append(".github/workflows/ci.yml", b"      - run: id\n")],
        "GOVERNANCE_PATH",
        intent="Fix a typo",
        forge=_low_risk,
    ),
    Case(
        "harmless words for a dependency",
        lambda: [append("requirements.txt", b"evil\n")],
        "categories.dependencies",
        intent="docs: fix a typo in the manual",
    ),
    Case("forged checksum", _docs, "CHECKSUM_MISMATCH", forge=_changeset(checksum="0" * 64)),
    Case("content swapped after the checksum", _docs, "CHECKSUM_MISMATCH", forge=_swapped_content),
    Case("path swapped after the checksum", _docs, "CHECKSUM_MISMATCH", forge=_swapped_path),
    Case("mode swapped after the checksum", _docs, "CHECKSUM_MISMATCH", forge=_swapped_mode),
    Case("path out of the workspace smuggled in", _docs, "CHANGESET_INVALID", forge=_smuggled_path),
    Case("change set of another plan", _docs, "PLAN_MISMATCH", forge=_changeset(plan_id="plan_other")),
    Case(
        "changes added after the checksum",
        _docs,
        "CHECKSUM_MISMATCH",
        forge=lambda plan, changeset: (
            plan,
            changeset.model_copy(update={"changes": (*changeset.changes, create("src/app/x.py", "x = 1\n"))}),
        ),
    ),
    Case("changes taken away", _docs, "CHANGESET_INVALID", forge=_changeset(changes=())),
)
