"""Any sequence of proposals, approvals, executions, reverts, edits, deaths and clock jumps follows a dictionary.

The real façade works on a real workspace with its database, under a clock that jumps. The process that executes or
recovers is killed at a mutating call, or right before or after one of its database commits. After every step the tree,
the history and what may run are what the model says; at the end the audit log is whole and nothing is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection
from tests.crash.driver import in_dying_process
from tests.crash.layers import Killed
from tests.property.service_model import HELD, Expected, Model, Plan, Yes
from tests.tally import counting, tally

from lonelycat.clock import RandomIds
from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.records.database import Database
from lonelycat.records.execution import ExecutionResult
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.consent import KeyConfirmation
from lonelycat.runtime.judgement import Judgement
from lonelycat.runtime.requests import ChangeRequest
from lonelycat.runtime.service import LonelyCat
from lonelycat.settings import DEFAULT_POLICY_PATH, Settings

PATHS = ("free/a", "free/b", "free/deep/c", f"{HELD}a", f"{HELD}b")
CONTENTS = (b"", b"one\n", b"two\n", b"three\n")
JUMPS = {"a minute": 60, "ten minutes": 600, "two hours": 7_200, "a day and an hour": 90_000}
PROPOSER = "agent:coder"
APPROVER = "maria"
SLICE_SEED, SLICE, LONG = 5, (5, 35), (12, 50)
"""How many runs of how many steps."""


class JumpingClock:
    """A clock that a test sets; it moves a millisecond whenever somebody looks at it."""

    def __init__(self) -> None:
        self.moment = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        self.moment += timedelta(milliseconds=1)
        return self.moment

    def monotonic(self) -> float:
        self._monotonic += 0.001
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self._monotonic += seconds


def die() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_commit(at: int, *, before: bool) -> None:
    """Let this process die at its commit number ``at`` (from 0): when all of it was written, or when it is done."""
    real, numbers = Database.write, count()

    @contextmanager
    def write(self: Database) -> Iterator[Connection]:
        last = next(numbers) == at
        with real(self) as connection:
            yield connection
            if last and before:
                die()
        if last:
            die()

    Database.write = write  # type: ignore[method-assign]  # in a process that only lives for this


class Service(RuleBasedStateMachine):
    """One workspace and its façade, held against the model."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="lonelycat-model-"))
        self.root = self.base / "workspace"
        self.key = self.base / "maria.pem"
        signer = Ed25519Signer.generate()
        self.key.write_bytes(signer.to_pem())
        self.key.chmod(0o600)
        self.public_key = signer.public_key
        self.clock = JumpingClock()
        self.dead: tuple[Plan, Expected] | None = None
        """The plan whose execution died, and how it would have ended."""
        self.deaths = 0
        tree = {"free/a": b"one\n", f"{HELD}a": b"two\n"}
        self.model = Model(tree, policy="first")
        for path, data in tree.items():
            self._write(path, data)
        self._write_policy("first")

    # -- the ground ----------------------------------------------------------------------------------------------

    def _write(self, path: str, data: bytes | None) -> None:
        place = self.root / path
        if data is None:
            place.unlink()
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def _write_policy(self, name: str) -> None:
        policy = {
            "version": 1,
            "name": name,
            "executor": {
                "allowed_paths": ["**"],
                "require_health_checks_for_risk": [],
                "require_rollback_plan_for_risk": [],
                "require_verification_for_risk": ["HIGH"],
            },
            "categories": {"held": {"paths": [f"{HELD}**"], "risk": "HIGH"}},
            "approvals": {"approvers": {APPROVER: {"public_key": self.public_key}}, "methods": ["key"]},
            "verification": {
                "look": {
                    "argv": ["/usr/bin/test", "!", "-e", str(self.base / "broken")],
                    "touches": [f"{HELD}**"],
                    "sandbox": {"reads": [str(self.base)]},
                }
            },
        }
        self._write(DEFAULT_POLICY_PATH, json.dumps(policy).encode())

    def wiring(self, filesystem: FileSystem | None = None) -> Wiring:
        settings = Settings.for_workspace(self.root, {})
        return Wiring(settings, clock=self.clock, ids=RandomIds(self.clock), filesystem=filesystem)

    def cat(self, filesystem: FileSystem | None = None) -> LonelyCat:
        return LonelyCat(self.wiring(filesystem))

    def tree(self) -> dict[str, bytes]:
        files = (path for top in ("free", "held") for path in (self.root / top).rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}

    def some_plan(self, number: int) -> Plan:
        plans = list(self.model.plans.values())
        return plans[number % len(plans)]

    def has_plans(self) -> bool:
        return bool(self.model.plans)

    def nobody_is_dead(self) -> bool:
        return self.dead is None

    # -- proposing and deciding ----------------------------------------------------------------------------------

    wishes = st.dictionaries(st.sampled_from(PATHS), st.sampled_from((None, *CONTENTS)), min_size=1, max_size=3)

    @initialize(wishes=st.lists(wishes, min_size=3, max_size=5))
    def begin(self, wishes: list[dict[str, bytes | None]]) -> None:
        for wanted in wishes:
            self.propose(wanted)

    @precondition(nobody_is_dead)
    @rule(wanted=wishes)
    def propose(self, wanted: dict[str, bytes | None]) -> None:
        tree = self.model.tree
        after = {path: data for path, data in wanted.items() if tree.get(path) != data}
        if not after:
            return
        changes: list[dict[str, object]] = []
        for path, data in after.items():
            operation = "delete" if data is None else "update" if path in tree else "create"
            content = {} if data is None else {"content": {"text": data.decode()}}
            changes.append({"operation": operation, "path": path, **content})
        request = ChangeRequest(changeset=json.dumps({"changes": changes}).encode(), intent="change", by=PROPOSER)
        self._keep(self.cat().propose(request), {path: tree.get(path) for path in after}, after)

    def _keep(
        self,
        said: Judgement,
        before: Mapping[str, bytes | None],
        after: Mapping[str, bytes | None],
        *,
        takes_back: str | None = None,
    ) -> None:
        model = self.model
        knows = None if takes_back else model.failed.get(said.changeset.checksum)
        needs_yes = model.needs_yes(after) or knows is not None
        assert str(said.decision.verdict) == ("NEED_APPROVAL" if needs_yes else "ALLOW"), said.decision.reasons
        if model.pinned is None:
            model.pinned = model.policy
        expires = said.decision.expires_at
        plan = Plan(said.plan.id, said.changeset.checksum, before, after, model.policy, needs_yes, expires)
        plan.knows, plan.takes_back = knows, takes_back
        assert bool(said.plan.verification_plan) == plan.is_verified
        model.plans[plan.id] = plan

    @precondition(has_plans)
    @rule(number=st.integers(0, 50))
    def approve(self, number: int) -> None:
        plan, now, model = self.some_plan(number), self.clock.now(), self.model
        wrong = self._why_no_yes(plan, now)
        try:
            kept = self.cat().approve(plan.id, by=APPROVER, confirmation=KeyConfirmation(self.key))
        except LonelyCatError as error:
            assert error.code == wrong, (error, wrong)
            return
        assert wrong is None, wrong
        given = kept.approvals[-1]
        plan.approvals.append(Yes(given.id, given.approved_at, given.expires_at))
        model.pinned = model.pinned if model.trusts_policy else model.policy

    def _why_no_yes(self, plan: Plan, now: datetime) -> str | None:
        if plan.is_rejected:
            return "PLAN_REJECTED"
        if not plan.needs_yes:
            return "APPROVAL_NOT_NEEDED"
        if plan.policy != self.model.policy:
            return "APPROVAL_CONTEXT_CHANGED"
        if now >= plan.expires:
            return "APPROVAL_EXPIRED"
        return "APPROVAL_DUPLICATE" if any(yes.holds(now) for yes in plan.approvals) else None

    @precondition(has_plans)
    @rule(number=st.integers(0, 50), sure=st.integers(0, 3))
    def reject(self, number: int, sure: int) -> None:
        plan = self.some_plan(number)
        if sure == 0 and not plan.is_rejected:
            assert self.cat().reject(plan.id, by=APPROVER).rejected_by == APPROVER
            plan.is_rejected = True

    @precondition(nobody_is_dead)
    @rule(number=st.integers(0, 50))
    def revert(self, number: int) -> None:
        if not self.model.history:
            return
        execution_id = list(self.model.history)[number % len(self.model.history)]
        plan_id, status = self.model.history[execution_id]
        plan = self.model.plans[plan_id]
        wrong = "NOT_COMPLETED" if status != "completed" else None
        inverse = replace(plan, before=plan.after, after=plan.before)
        if status == "completed" and self.model.is_reverted(execution_id) and not inverse.fits(self.model.tree):
            wrong = "ALREADY_REVERTED"
        elif wrong is None:
            wrong = inverse.undone_by_hand(self.model.tree)
        try:
            said = self.cat().revert(execution_id, by=PROPOSER)
        except LonelyCatError as error:
            assert error.code == wrong, (error, wrong)
            return
        assert wrong is None, wrong
        now = self.clock.now()
        if said.plan.id in self.model.plans:
            assert said.plan.id in self.model.reverts_that_count(execution_id, now, surely=False)
            return
        assert not self.model.reverts_that_count(execution_id, now, surely=True), "the same waits already"
        self._keep(said, plan.after, plan.before, takes_back=execution_id)

    # -- executing -----------------------------------------------------------------------------------------------

    @precondition(has_plans)
    @rule(number=st.integers(0, 50))
    def execute(self, number: int) -> None:
        plan = self.some_plan(number)
        now = self.clock.now()
        before = self.model.execution(plan, now)
        result: ExecutionResult | None = None
        try:
            result = self.cat().execute(plan.id)
        except LonelyCatError as error:
            assert (before.status, before.codes) == ("raised", {error.code}), error
        if before.locked:
            self._resolve(ending=result)
        expected = self.model.execution(plan, now)
        if result is not None:
            self._compare(plan, expected, result)

    @precondition(has_plans)
    @rule(number=st.integers(0, 50))
    def approve_and_execute(self, number: int) -> None:
        self.approve(number)
        self.execute(number)

    def _note(self, result: ExecutionResult, plan: Plan) -> None:
        ended = (str(result.status), result.error_code, result.started_at, result.finished_at)
        self.model.note(result.execution_id, plan, *ended)

    def _compare(self, plan: Plan, expected: Expected, result: ExecutionResult) -> None:
        if expected.status == "cached":
            assert (result.cached, result.status) == (True, "completed"), result
            assert self.model.history[result.execution_id] == (plan.id, "completed")
            return
        assert (str(result.status), result.cached) == (expected.status, False), (expected, result)
        assert result.error_code in expected.codes or result.error_code is None is not expected.codes, result
        assert result.success is (expected.status == "completed")
        self._note(result, plan)

    # -- dying ---------------------------------------------------------------------------------------------------

    def _kill(self, work: Callable[[FileSystem | None], object], at: int, kind: str) -> None:
        def dying() -> None:
            if kind != "call":
                die_at_commit(at % 3, before=kind == "before a commit")
            with suppress(LonelyCatError):
                work(Killed(at) if kind == "call" else None)

        self.deaths += in_dying_process(dying)

    kinds = st.sampled_from(("call", "call", "call", "before a commit", "after a commit"))

    @precondition(lambda self: self.has_plans() and self.nobody_is_dead())
    @rule(number=st.integers(0, 50), at=st.integers(0, 75), kind=kinds)
    def die_executing(self, number: int, at: int, kind: str) -> None:
        plan = self.some_plan(number)
        self.dead = plan, self.model.execution(plan, self.clock.now())
        self._kill(lambda filesystem: self.cat(filesystem).execute(plan.id), at, kind)

    @precondition(lambda self: self.has_plans() and self.nobody_is_dead())
    @rule(number=st.integers(0, 50), at=st.integers(0, 75), kind=kinds)
    def approve_and_die_executing(self, number: int, at: int, kind: str) -> None:
        self.approve(number)
        self.die_executing(number, at, kind)

    @rule(at=st.integers(0, 40), kind=kinds)
    def die_recovering(self, at: int, kind: str) -> None:
        self._kill(lambda filesystem: self.cat(filesystem).recover(), at, kind)

    @rule()
    def recover(self) -> None:
        self.cat().recover()
        self._resolve()

    def _resolve(self, ending: ExecutionResult | None = None) -> None:
        """Take what became of a dead execution from the log, if the model allows for it.

        Args:
            ending: what was executed since, whose row is not that of the dead one.
        """
        if self.dead is None:
            return
        (plan, expected), self.dead = self.dead, None
        known = {*self.model.history, *([] if ending is None or ending.cached else [ending.execution_id])}
        new = [row.result for row in self.cat().log(limit=10_000) if row.result.execution_id not in known]
        assert len(new) <= 1, new
        for result in new:
            assert result.plan_id == plan.id
            assert str(result.status) == expected.status or (
                (str(result.status), expected.status) == ("rolled_back", "completed")
                and result.error_code == "EXECUTOR_DIED"
            ), (result, expected)
            self._note(result, plan)

    # -- the world -----------------------------------------------------------------------------------------------

    @precondition(nobody_is_dead)
    @rule(path=st.sampled_from(PATHS), data=st.sampled_from((None, *CONTENTS)))
    def edit(self, path: str, data: bytes | None) -> None:
        if data is not None or path in self.model.tree:
            self._write(path, data)
            self.model.tree = {**self.model.tree, path: data} if data is not None else dict(self.model.tree)
            if data is None:
                del self.model.tree[path]

    @rule(jump=st.sampled_from(list(JUMPS)), back=st.booleans())
    def the_clock_jumps(self, jump: str, back: bool) -> None:
        self.clock.moment += timedelta(seconds=-JUMPS[jump] if back else JUMPS[jump])

    @precondition(nobody_is_dead)
    @rule(name=st.sampled_from(("first", "second")))
    def the_policy_changes(self, name: str) -> None:
        self._write_policy(name)
        self.model.policy = name

    @precondition(nobody_is_dead)
    @rule()
    def what_is_verified_breaks_or_mends(self) -> None:
        self.model.is_broken = not self.model.is_broken
        (self.base / "broken").touch() if self.model.is_broken else (self.base / "broken").unlink()

    # -- what always holds ---------------------------------------------------------------------------------------

    @precondition(nobody_is_dead)
    @invariant()
    def tree_and_history_are_the_model(self) -> None:
        assert self.tree() == self.model.tree
        if not self.has_plans():
            return
        cat = self.cat()
        rows = cat.log(limit=10_000)
        assert all(row.intact for row in rows)
        assert {row.result.execution_id: (row.result.plan_id, str(row.result.status)) for row in rows} == (
            self.model.history
        )
        assert cat.status().frozen is None

    @precondition(has_plans)
    @rule(number=st.integers(0, 50))
    def show(self, number: int) -> None:
        plan = self.some_plan(number)
        shown = self.cat().show(plan.id).proposal
        assert shown is not None
        assert [item.id for item in shown.approvals] == [yes.id for yes in plan.approvals]
        assert (shown.rejected_by is not None) == plan.is_rejected
        if self.dead is None:
            assert shown.quarantined == (plan.checksum in self.model.failed)
            executed = {key for key, (plan_id, _) in self.model.history.items() if plan_id == plan.id}
            assert (shown.execution_id in executed) if executed else shown.execution_id is None

    def teardown(self) -> None:
        try:
            if self.has_plans():
                self.recover()
                self.tree_and_history_are_the_model()
                audit = self.cat().audit_verify()
                assert audit.ok, audit.problems
                left = self.root / ".lonelycat" / "tx"
                assert not left.exists() or not os.listdir(left)
                assert self.cat().status().quarantined == ()
            ends = Counter(status for _, status in self.model.history.values())
            tally("model", runs=1, plans=len(self.model.plans), deaths=self.deaths, **ends)
        finally:
            shutil.rmtree(self.base)


_COMMON = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),  # to make a failure smaller takes minutes of real deaths
)


def _run(seed: int, examples: int, steps: int, again: str) -> None:
    print(f"again with: {again}")  # noqa: T201 — shown when it fails
    with_seed(seed)(Service)
    with counting("model"):
        chosen = settings(_COMMON, max_examples=examples, stateful_step_count=steps)
        run_state_machine_as_test(Service, settings=chosen)  # type: ignore[no-untyped-call]  # hypothesis has none here


def test_the_service_follows_the_model() -> None:
    _run(SLICE_SEED, *SLICE, "python -m pytest tests/property/test_service_model.py -m 'not long'")


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(4))
def test_long_the_service_follows_the_model(seed: int) -> None:
    _run(seed, *LONG, f"python -m pytest tests/property/test_service_model.py -m long -k 'model[{seed}]'")
