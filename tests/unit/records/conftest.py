"""A workspace's records on a real SQLite file, and the things that are put into them."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.clock import RandomIds
from lonelycat.governance.approvals import make_approval
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision, Reason, context_digest
from lonelycat.governance.policy import Policy, Verdict
from lonelycat.lifecycle import Status
from lonelycat.records.execution import ExecutionResult, StepRecord
from lonelycat.records.receipts import write_receipt
from lonelycat.records.store import Records
from lonelycat.settings import Settings

START = datetime(2030, 1, 1, tzinfo=UTC)
POLICY = Policy.model_validate({"version": 1, "name": "test", "executor": {"allowed_paths": ["**"]}})
HASH = "0" * 64


class Ticking:
    """A clock that moves by a second whenever it is read, or to where a test puts it."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment

    def monotonic(self) -> float:
        return self.now().timestamp()

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Case:
    """Records with short ways to fill them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = Settings.for_workspace(root, {})
        self.clock = Ticking()
        self.ids = RandomIds(self.clock)
        self.records = Records.open(self.settings, self.clock, self.ids)
        self._fences = itertools.count(1)

    @property
    def path(self) -> Path:
        return self.settings.state_dir / "lonelycat.db"

    def reopened(self) -> Records:
        return Records.open(self.settings, self.clock, self.ids)

    def proposed(
        self, content: bytes = b"hello\n", *, verdict: Verdict = Verdict.ALLOW, codes: tuple[str, ...] = (), **plan: Any
    ) -> tuple[ChangePlan, ChangeSet, GovernanceDecision]:
        made = ChangePlan.new(
            **{"intent": "say hello", "created_by": "agent:coder", "clock": self.clock, "ids": self.ids, **plan}
        )
        changeset = ChangeSet.build(
            plan_id=made.id, changes=[FileChange.create("a.txt", content), FileChange.delete("b/ü.txt", b"old")]
        )
        return made, changeset, self.decision(made, changeset, verdict, codes)

    def decision(
        self, plan: ChangePlan, changeset: ChangeSet, verdict: Verdict = Verdict.ALLOW, codes: tuple[str, ...] = ()
    ) -> GovernanceDecision:
        unsigned = GovernanceDecision(
            id=self.ids.new("dec"),
            plan_id=plan.id,
            changeset_id=changeset.id,
            checksum=changeset.checksum,
            verdict=verdict,
            reasons=tuple(Reason(code=code, message="found", rule="content", verdict=verdict) for code in codes),
            risk_level_effective=RiskLevel.HIGH,
            policy_snapshot_hash=HASH,
            context_digest=context_digest(plan, changeset, POLICY, HASH),
            evaluated_at=self.clock.moment,
            expires_at=self.clock.moment + timedelta(days=7),
        )
        signature = self.records.signer.sign(unsigned.signed_payload())
        return unsigned.model_copy(update={"signature": signature})

    def stored(
        self, status: Status = Status.APPROVED, **options: Any
    ) -> tuple[ChangePlan, ChangeSet, GovernanceDecision]:
        parts = self.proposed(**options)
        self.records.save_proposal(*parts, status)
        return parts

    def approval(self, decision: GovernanceDecision, by: str = "bob") -> GovernanceApproval:
        return make_approval(
            decision,
            POLICY,
            approved_by=by,
            method="terminal",
            signer=self.records.signer,
            now=self.clock.now(),
            ids=self.ids,
        )

    def result(
        self, plan: ChangePlan, changeset: ChangeSet, status: Status = Status.COMPLETED, **fields: Any
    ) -> ExecutionResult:
        moment = self.clock.now()
        step = StepRecord(
            index=0, name="apply", status="ok", started_at=moment, duration_seconds=0.1, log="00_apply.log"
        )
        values: dict[str, Any] = {
            "success": status is Status.COMPLETED,
            "status": status,
            "execution_id": self.ids.new("exec"),
            "plan_id": plan.id,
            "changeset_id": changeset.id,
            "checksum": changeset.checksum,
            "message": "done",
            "files_changed": ("a.txt", "b/ü.txt"),
            "verification_passed": True,
            "steps": (step, step.model_copy(update={"index": 1, "name": "verify:tests", "log": None})),
            "started_at": moment,
            "finished_at": self.clock.now(),
            "fence": next(self._fences),
        }
        return ExecutionResult(**{**values, **fields})

    def finish(
        self, plan: ChangePlan, result: ExecutionResult, decision: GovernanceDecision, *used: str, **options: Any
    ) -> Any:
        settings: dict[str, Any] = {"ttl_seconds": 3600, **options}
        return self.records.finish_execution(
            result, plan=plan, decision_id=decision.id, consumed_approvals=used, **settings
        )

    def executed(self, *, receipt: bool = True, status: Status = Status.COMPLETED, **options: Any) -> ExecutionResult:
        """Propose, approve, execute and receipt a change."""
        plan, changeset, decision = self.stored(
            Status.AWAITING_APPROVAL, **{"verdict": Verdict.NEED_APPROVAL, **options}
        )
        approval = self.approval(decision)
        self.records.add_approval(plan.id, approval, Status.APPROVED)
        result = self.result(plan, changeset, status)
        directory = self.records.artifacts(result.execution_id)
        directory.write_json("plan.json", plan.model_dump(mode="json"))
        directory.append_event({"type": "status", "message": "applying"})
        directory.step_log(0, "apply", b"two files\n")
        head = self.finish(plan, result, decision, approval.id, receipt=True)
        if receipt:
            write_receipt(
                directory,
                self.records.signer,
                result=result,
                changeset=changeset,
                decision=decision,
                approvals=[approval],
                audit_head=head,
            )
        return result

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Do to the database what someone with the sqlite3 shell can do."""
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute(statement, values).fetchall()
            connection.commit()
        return rows


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.fixture
def make_case() -> Callable[[Path], Case]:
    return Case


@pytest.fixture
def opened(case: Case) -> Iterator[Callable[[], Any]]:
    """Hold a read transaction of another connection open."""

    @contextmanager
    def hold() -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(case.path)) as connection:
            yield connection

    yield hold
