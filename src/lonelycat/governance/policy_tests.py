"""Runs a policy's own examples through the gate that judges real changes.

Invariant: one evaluation path. An example is made into a plan and a change set like any other; the plan asks for
every check that the policy has for its paths, as the planner would, so that a verdict is about the change alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import LonelyCatError, PolicyError
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.governance.facts import ContentReader
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import ChangeExample, Policy, PolicyTest, Verdict
from lonelycat.governance.policy_fields import Globs
from lonelycat.governance.policy_file import LoadedPolicy
from lonelycat.governance.writegate import WriteGate

_MOMENT = datetime(2000, 1, 3, 12, tzinfo=UTC)
"""When an example without ``at`` is judged: a Monday noon, before any exception has expired."""


@dataclass(frozen=True, slots=True)
class PolicyTestResult:
    """How one example came out.

    Attributes:
        verdict: what the gate ruled, or None when the example itself cannot be built.
        codes: the codes of the reasons that count, sorted.
        problem: what differs from the expectation, in words; empty when it passed.
    """

    name: str
    expected: Verdict
    verdict: Verdict | None
    codes: tuple[str, ...]
    problem: str

    @property
    def passed(self) -> bool:
        """Whether the example came out as expected."""
        return not self.problem


@dataclass
class ExampleClock:
    """A clock that stands at an example's time."""

    moment: datetime = _MOMENT

    def now(self) -> datetime:
        """Return the example's time."""
        return self.moment

    def monotonic(self) -> float:
        """Return 0."""
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Return at once."""


@dataclass
class ExampleIds:
    """Identifiers that count from one."""

    count: int = 0

    def new(self, prefix: str) -> str:
        """Return ``<prefix>_<n>``."""
        self.count += 1
        return f"{prefix}_{self.count}"


@dataclass
class ExampleContents:
    """The old contents that an example states."""

    by_path: dict[str, bytes] = field(default_factory=dict)

    def old(self, change: FileChange) -> bytes | None:
        """Return the example's old bytes."""
        return self.by_path.get(change.old_path or change.path)

    def new(self, change: FileChange) -> bytes | None:
        """Return None: an example carries its new bytes itself."""
        return None


class _NoSigner:
    """Examples are judged and thrown away; nothing is bound to their decisions."""

    public_key = ""

    def sign(self, payload: dict[str, object]) -> str:
        return ""


GateFactory = Callable[[ExampleClock, ExampleIds, ContentReader], WriteGate]


def run_policy_tests(loaded: LoadedPolicy, make_gate: GateFactory | None = None) -> tuple[PolicyTestResult, ...]:
    """Run every example of the policy and return how each came out, in their order.

    Args:
        make_gate: builds the gate under test; by default the gate of ``loaded`` itself.
    """

    def own_gate(clock: ExampleClock, ids: ExampleIds, contents: ContentReader) -> WriteGate:
        return WriteGate(
            loaded.policy,
            loaded.sha256,
            clock=clock,
            ids=ids,
            signer=_NoSigner(),
            contents=contents,
            known_pins=loaded.pins,
        )

    return tuple(_run(loaded.policy, test, make_gate or own_gate) for test in loaded.policy.tests)


def require_policy_tests(loaded: LoadedPolicy) -> None:
    """Raise if an example of the policy fails.

    Raises:
        PolicyError: ``POLICY_TEST_FAILED``, naming every failing example.
    """
    failed = [result for result in run_policy_tests(loaded) if not result.passed]
    if failed:
        raise PolicyError(
            "POLICY_TEST_FAILED",
            f"{loaded.source}: {len(failed)} of its own tests fail: {failed[0].name}: {failed[0].problem}",
            "Correct the policy or the test; see `lonelycat policy test`.",
            details={"problems": [f"{result.name}: {result.problem}" for result in failed]},
        )


def _run(policy: Policy, test: PolicyTest, make_gate: GateFactory) -> PolicyTestResult:
    try:
        clock = ExampleClock(_moment(test.at))
        ids = ExampleIds()
        contents = ExampleContents({item.old_path or item.path: item.old.encode() for item in test.changes})
        changes = [_change(item) for item in test.changes]
        plan = _plan(policy, test, changes, clock, ids)
        changeset = ChangeSet.build(plan_id=plan.id, changes=changes, id=ids.new("cs"), generated_at=clock.now())
        decision = make_gate(clock, ids, contents).evaluate(plan, changeset)
    except LonelyCatError as error:
        # A path that cannot even be written down is refused before the gate; to the author that is a DENY.
        return _result(test, Verdict.DENY if error.code.startswith("PATH_") else None, (error.code,), error.message)
    except ValueError as error:
        return _result(test, None, (), f"the example cannot be built: {error}")
    return _judged(test, decision)


def _judged(test: PolicyTest, decision: GovernanceDecision) -> PolicyTestResult:
    codes = tuple(sorted({reason.code for reason in decision.reasons if reason.counts}))
    return _result(test, decision.verdict, codes, "")


def _result(test: PolicyTest, verdict: Verdict | None, codes: tuple[str, ...], why: str) -> PolicyTestResult:
    missing = sorted(set(test.reasons) - set(codes))
    problem = ""
    if verdict is not test.expect:
        problem = f"expected {test.expect}, got {verdict or 'no verdict'} ({', '.join(codes) or 'no reasons'})"
        problem += f": {why}" if why else ""
    elif missing:
        problem = f"expected the reasons {', '.join(missing)}, got {', '.join(codes) or 'none'}"
    return PolicyTestResult(test.name, test.expect, verdict, codes, problem)


def _moment(text: str | None) -> datetime:
    if text is None:
        return _MOMENT
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _change(item: ChangeExample) -> FileChange:
    if item.operation == "create":
        return FileChange.create(item.path, item.content, mode=item.mode)
    if item.operation == "delete":
        return FileChange.delete(item.path, item.old, mode=item.mode)
    if item.operation == "rename":
        new = item.content or None
        return FileChange.rename(item.old_path or "", item.path, item.old, new_content=new, old_mode=item.mode)
    return FileChange.update(item.path, item.old, item.content, old_mode=item.mode)


def _plan(
    policy: Policy, test: PolicyTest, changes: Sequence[FileChange], clock: ExampleClock, ids: ExampleIds
) -> ChangePlan:
    paths = [path for change in changes for path in change.paths]

    def touching(table: Iterable[tuple[str, Globs]]) -> list[str]:
        return [name for name, globs in table if any(map(compile_globs(globs).matches, paths))]

    return ChangePlan.new(
        intent=test.name,
        created_by=test.created_by,
        affected_paths=paths,
        rollback_plan="The executor restores the former files.",
        verification_plan=touching((name, each.touches) for name, each in policy.verification.items()),
        health_checks=touching((name, each.touches) for name, each in policy.health_checks.items()),
        clock=clock,
        ids=ids,
    )
