"""The library's faces that need a workspace on disk.

The rooms ``governance`` and ``planner`` are pure; these subclasses only add how to be made from a workspace, and
:class:`Executor` wires the pipeline. All are exported from :mod:`lonelycat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance import writegate
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision
from lonelycat.planner import planner
from lonelycat.records.execution import ExecutionResult
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.execution_request import Options, Request
from lonelycat.runtime.pipeline import Pipeline
from lonelycat.runtime.steps import EventSink
from lonelycat.settings import Settings


class Planner(planner.Planner):
    """The deterministic planner; see :class:`lonelycat.planner.planner.Planner`."""

    @classmethod
    def from_workspace(cls, root: Path | str) -> Self:
        """Return a planner under the policy in force in ``root``.

        Raises:
            PolicyError: the policy cannot be loaded.
        """
        wiring = Wiring(Settings.for_workspace(root))
        policy = wiring.policy()
        return cls(
            policy.loaded.policy,
            clock=wiring.clock,
            ids=wiring.ids,
            contents=wiring.contents(policy),
            known_pins=policy.loaded.pins,
        )


class WriteGate(writegate.WriteGate):
    """The gate; see :class:`lonelycat.governance.writegate.WriteGate`."""

    @classmethod
    def from_workspace(cls, root: Path | str) -> Self:
        """Return the gate of ``root``, under the policy in force and with the workspace's own key.

        Raises:
            PolicyError: the policy cannot be loaded; closed by default, there is no gate without one.
        """
        wiring = Wiring(Settings.for_workspace(root))
        policy = wiring.policy()
        return cls(
            policy.loaded.policy,
            policy.loaded.sha256,
            clock=wiring.clock,
            ids=wiring.ids,
            signer=wiring.signer,
            contents=wiring.contents(policy),
            policy_paths=wiring.settings.policy_names,
            policy_trusted=policy.trusted,
            known_pins=policy.loaded.pins,
            failed=wiring.failed_change,
        )


class Executor:
    """Executes a change set that the gate decided on.

    Args:
        root: the workspace.
        dry_run: validate and look at the base; change and record nothing.
        use_locking: False when this process already holds ``LockManager(root).lock_execution``; where nobody holds
            the workspace it is locked all the same.
        use_idempotency: False executes again whatever is recorded.
        lock_timeout: seconds to wait for the workspace; None means what the policy says.
    """

    def __init__(
        self,
        root: Path | str,
        dry_run: bool = False,
        use_locking: bool = True,
        use_idempotency: bool = True,
        *,
        lock_timeout: float | None = None,
        on_event: EventSink | None = None,
    ) -> None:
        self._wiring = Wiring(Settings.for_workspace(root))
        self._options = Options(dry_run, use_locking, use_idempotency, lock_timeout)
        self._on_event = on_event

    def execute(
        self,
        plan: ChangePlan,
        changeset: ChangeSet,
        decision: GovernanceDecision,
        approvals: Sequence[GovernanceApproval] = (),
    ) -> ExecutionResult:
        """Execute, and return how it ended; expected failures are results, not exceptions."""
        request = Request(plan, changeset, decision, tuple(approvals))
        return Pipeline(self._wiring, self._options, self._on_event).run(request)
