"""How long the gate takes to decide on 50 small files under the default policy, signature included.

Run alone: ``python -m benchmarks.gate_decision``. Contents differ in every round, so that nothing is answered from a
cache; the policy is compiled before, as it is in every process that decides more than once.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.plan import ChangePlan
from lonelycat.clock import RandomIds, SystemClock
from lonelycat.governance.policy import Verdict
from lonelycat.governance.policy_file import load_policy
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.governance.writegate import WriteGate

ROOT = Path(__file__).resolve().parent.parent
FILES = 50
BUDGET_MS = 2.0


@dataclass(frozen=True)
class Timing:
    """Median times in milliseconds, and the decision in units of hashing the same bytes once."""

    decision_ms: float
    hashing_ms: float
    total_bytes: int

    @property
    def ratio(self) -> float:
        """The decision's time over that of SHA-256 over the contents."""
        return self.decision_ms / self.hashing_ms


class _Olds:
    """The old contents, as the workspace would give them."""

    def __init__(self, by_path: dict[str, bytes]) -> None:
        self._by_path = by_path

    def old(self, change: FileChange) -> bytes | None:
        return self._by_path.get(change.path)

    def new(self, change: FileChange) -> bytes | None:
        return None


def sources() -> list[bytes]:
    """Return 50 texts of 0.5 to 2 KiB, cut from Python's standard library: ordinary source, the same for everybody."""
    files = sorted(Path(asyncio.__file__).parent.parent.glob("*.py"))
    texts = [path.read_bytes() for path in files]
    long_enough = [text for text in texts if len(text) >= 4096]
    return [long_enough[index % len(long_enough)][: 512 + 1536 * index // (FILES - 1)] for index in range(FILES)]


def measure(rounds: int = 60) -> Timing:
    """Return the median times over ``rounds`` different change sets: half updates, half creations."""
    loaded = load_policy((ROOT / "agent/policies/default.yaml").read_bytes(), source="default.yaml")
    texts = sources()
    olds = {f"src/app/package_{index % 7}/module_{index}.py": text for index, text in enumerate(texts) if index % 2}
    gate = WriteGate(
        loaded.policy,
        loaded.sha256,
        clock=SystemClock(),
        ids=RandomIds(),
        signer=Ed25519Signer.generate(),
        contents=_Olds(olds),
    )
    decisions, hashes = [], []
    for number in range(rounds):
        changes = []
        for index, text in enumerate(texts):
            path, new = f"src/app/package_{index % 7}/module_{index}.py", text + b"# round %d\n" % number
            changes.append(FileChange.update(path, text, new) if index % 2 else FileChange.create(path, new))
        plan = ChangePlan.new(
            intent="benchmark",
            created_by="agent:benchmark",
            affected_paths=[change.path for change in changes],
            verification_plan=["syntax"],
            health_checks=["workspace-writable"],
            rollback_plan="restore",
        )
        changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
        start = time.perf_counter()
        decision = gate.evaluate(plan, changeset)
        decisions.append((time.perf_counter() - start) * 1e3)
        if decision.verdict is Verdict.DENY:
            raise RuntimeError(f"the benchmark's change set is refused: {decision.reasons}")
        start = time.perf_counter()
        for change in changes:
            sha256_hex(change.content if isinstance(change.content, bytes) else b"")
        hashes.append((time.perf_counter() - start) * 1e3)
    total = sum(len(text) for text in texts)
    return Timing(statistics.median(decisions), statistics.median(hashes), total)


if __name__ == "__main__":
    result = measure()
    print(
        f"gate decision, {FILES} files, {result.total_bytes / 1024:.0f} KiB: {result.decision_ms:.2f} ms"
        f" (budget {BUDGET_MS} ms), {result.ratio:.1f} times hashing them"
    )
