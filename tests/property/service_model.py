"""What a dictionary knows about a governed workspace: which plans may run now, and what that makes of tree and history.

Invariant: nothing here calls LonelyCat; the rules are written a second time, in the order in which an execution asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DAY = timedelta(days=1)
TTL = timedelta(hours=1)
SKEW = timedelta(minutes=5)
HELD = "held/"
"""Paths whose changes need a person's yes and run a verification."""
Tree = dict[str, bytes]


@dataclass(frozen=True)
class Yes:
    """An approval as it was given."""

    id: str
    at: datetime
    expires: datetime

    def holds(self, now: datetime) -> bool:
        return self.at <= now + SKEW and now < self.expires


@dataclass
class Plan:
    """A proposal: what it changes, and what it was decided under.

    Attributes:
        before, after: by path, the bytes it expects and the bytes it leaves; None is no file.
        knows: the failed execution of the same changes that it was decided in knowledge of.
        takes_back: the execution whose change it takes back, which no failure holds up.
    """

    id: str
    checksum: str
    before: Mapping[str, bytes | None]
    after: Mapping[str, bytes | None]
    policy: str
    needs_yes: bool
    expires: datetime
    approvals: list[Yes] = field(default_factory=list)
    is_rejected: bool = False
    knows: str | None = None
    takes_back: str | None = None

    @property
    def is_verified(self) -> bool:
        """Whether a verification runs for it."""
        return any(path.startswith(HELD) for path in self.after)

    def fits(self, tree: Tree) -> bool:
        return all(tree.get(path) == old for path, old in self.before.items())

    def undone_by_hand(self, tree: Tree) -> str | None:
        """Return the code for what cannot be reverted by this plan since somebody did it, or a part of it."""
        done = [path for path, new in self.after.items() if tree.get(path) == new]
        if len(done) == len(self.after):
            return "NOTHING_TO_REVERT"
        return "FILE_MISSING" if any(self.after[path] is None for path in done) else None

    def applied(self, tree: Tree) -> Tree:
        merged = {**tree, **self.after}
        return {path: data for path, data in merged.items() if data is not None}


@dataclass(frozen=True)
class Expected:
    """How an execution must end.

    Attributes:
        status: of the result; ``raised`` when there is none, ``cached`` for a repeat.
        codes: one of which is the error code.
        locked: whether it comes as far as the lock, and so recovers what a dead executor left.
    """

    status: str
    codes: frozenset[str] = frozenset()
    locked: bool = True


@dataclass
class Model:
    """The workspace as it must be.

    Attributes:
        history: by execution, its plan and its status.
        answers: by plan, whether its newest execution completed, and when.
        used: approvals that an execution has used up.
        pinned: the policy that is trusted, once one is.
        failed: by checksum, the newest execution that failed because the change does not work.
        taken_back: by execution, the newest one that took its change back.
    """

    tree: Tree
    policy: str
    pinned: str | None = None
    is_broken: bool = False
    plans: dict[str, Plan] = field(default_factory=dict)
    history: dict[str, tuple[str, str]] = field(default_factory=dict)
    answers: dict[str, tuple[bool, datetime]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    taken_back: dict[str, str] = field(default_factory=dict)

    @property
    def trusts_policy(self) -> bool:
        return self.pinned in (None, self.policy)

    def is_reverted(self, execution_id: str) -> bool:
        """Whether the change of an execution was taken back, and that not taken back in its turn."""
        return execution_id in self.taken_back and not self.is_reverted(self.taken_back[execution_id])

    def reverts_that_count(self, execution_id: str, now: datetime, *, surely: bool) -> set[str]:
        """Return the plans that would take an execution back, need a person, and can still be approved or executed.

        Args:
            surely: leave out those of which an execution was refused and another was not; which of the two is the
                newest is for the clock to say, and it was set back.
        """
        open_plans = set()
        for plan in self.plans.values():
            ends = [status == "rejected" for plan_id, status in self.history.values() if plan_id == plan.id]
            is_open = not ends or (all if surely else any)(ends)
            counts = plan.needs_yes and not plan.is_rejected and now < plan.expires and plan.policy == self.policy
            if plan.takes_back == execution_id and counts and is_open:
                open_plans.add(plan.id)
        return open_plans

    def needs_yes(self, paths: Mapping[str, object]) -> bool:
        return not self.trusts_policy or any(path.startswith(HELD) for path in paths)

    def execution(self, plan: Plan, now: datetime) -> Expected:
        """Return how an execution of ``plan`` must end, step by step as it asks."""
        if plan.is_rejected:
            return Expected("raised", frozenset({"PLAN_REJECTED"}), locked=False)
        if now >= plan.expires:
            return Expected("rejected", frozenset({"DECISION_EXPIRED"}), locked=False)
        if plan.policy != self.policy:
            return Expected("rejected", frozenset({"POLICY_CHANGED"}), locked=False)
        holding = [yes for yes in plan.approvals if yes.holds(now)]
        if plan.needs_yes and not holding:
            code = "APPROVAL_EXPIRED" if plan.approvals else "APPROVAL_MISSING"
            return Expected("rejected", frozenset({code}), locked=False)
        return self._under_lock(plan, now, holding)

    def _under_lock(self, plan: Plan, now: datetime, holding: list[Yes]) -> Expected:
        completed, at = self.answers.get(plan.id, (False, now))
        if completed and now - at < TTL:
            return Expected("cached")
        if plan.needs_yes and all(yes.id in self.used for yes in holding):
            return Expected("rejected", frozenset({"APPROVAL_REUSED", "APPROVAL_EXPIRED"}))
        if self.failed.get(plan.checksum) not in (None, plan.knows) and plan.takes_back is None:
            return Expected("rejected", frozenset({"DIGEST_QUARANTINED"}))
        if not plan.fits(self.tree):
            codes = {"FILE_EXISTS", "FILE_MISSING", "FILE_CHANGED"}
            return Expected("conflict", frozenset(codes))
        if plan.is_verified and self.is_broken:
            return Expected("rolled_back", frozenset({"VERIFY_FAILED"}))
        return Expected("completed")

    def note(
        self, execution_id: str, plan: Plan, status: str, code: str | None, started: datetime, finished: datetime
    ) -> None:
        """Take an execution into the history, with what it makes of tree, approvals, answers and failures."""
        self.history[execution_id] = (plan.id, status)
        if status == "rejected":
            return
        if (status, code) == ("rolled_back", "VERIFY_FAILED"):
            self.failed[plan.checksum] = execution_id
        if status == "completed":
            self.failed.pop(plan.checksum, None)
        self.answers[plan.id] = (status == "completed", finished)
        if status == "completed":
            self.tree = plan.applied(self.tree)
            if plan.takes_back is not None:
                self.taken_back[plan.takes_back] = execution_id
            fresh = [yes for yes in plan.approvals if yes.holds(started) and yes.id not in self.used]
            if plan.needs_yes:
                self.used.add(fresh[0].id)
