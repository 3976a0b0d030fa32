"""LonelyCat executes changes that AI agents propose, without trusting the agent.

The names below are the library; each is imported when first used, so that a program pays for what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lonelycat.version import __version__

if TYPE_CHECKING:
    from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange, Operation
    from lonelycat.changes.plan import ChangePlan, RiskLevel
    from lonelycat.errors import LonelyCatError
    from lonelycat.executor.execution_lock import LockManager
    from lonelycat.executor.generation import read_settled
    from lonelycat.executor.idempotency import IdempotencyCheck, IdempotencyManager
    from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision
    from lonelycat.governance.policy import Verdict
    from lonelycat.lifecycle import Status
    from lonelycat.records.execution import ExecutionRecord, ExecutionResult
    from lonelycat.runtime.faces import Executor, Planner, WriteGate
    from lonelycat.runtime.service import LonelyCat

_HOMES = {
    "BlobRef": "changes.changeset",
    "ChangePlan": "changes.plan",
    "ChangeSet": "changes.changeset",
    "ExecutionRecord": "records.execution",
    "ExecutionResult": "records.execution",
    "Executor": "runtime.faces",
    "FileChange": "changes.changeset",
    "GovernanceApproval": "governance.decision",
    "GovernanceDecision": "governance.decision",
    "IdempotencyCheck": "executor.idempotency",
    "IdempotencyManager": "executor.idempotency",
    "LockManager": "executor.execution_lock",
    "LonelyCat": "runtime.service",
    "LonelyCatError": "errors",
    "Operation": "changes.changeset",
    "Planner": "runtime.faces",
    "RiskLevel": "changes.plan",
    "Status": "lifecycle",
    "Verdict": "governance.policy",
    "WriteGate": "runtime.faces",
    "read_settled": "executor.generation",
}

__all__ = [
    "BlobRef",
    "ChangePlan",
    "ChangeSet",
    "ExecutionRecord",
    "ExecutionResult",
    "Executor",
    "FileChange",
    "GovernanceApproval",
    "GovernanceDecision",
    "IdempotencyCheck",
    "IdempotencyManager",
    "LockManager",
    "LonelyCat",
    "LonelyCatError",
    "Operation",
    "Planner",
    "RiskLevel",
    "Status",
    "Verdict",
    "WriteGate",
    "__version__",
    "read_settled",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lonelycat' has no attribute {name!r}")
    value: object = getattr(import_module(f"lonelycat.{home}"), name)
    globals()[name] = value
    return value
