"""What is wrong in a workspace, and what to do about it. Each examination is one function; none changes anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lonelycat.changes.paths import printable
from lonelycat.errors import LonelyCatError
from lonelycat.executor.recovery import pending_transactions
from lonelycat.runtime import runbook
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.quarantined import Quarantined, quarantined

if TYPE_CHECKING:
    from lonelycat.checks.sandbox.level import Level


_LEAST_ROOM = 1024 * 1024
_FEWEST_FILES = 100
"""Below these not even a small change can be made and recorded."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or wants a look.

    Attributes:
        severity: ``error`` stops executions, ``warning`` does not.
    """

    severity: Literal["error", "warning"]
    code: str
    message: str
    hint: str


def _policy(wiring: Wiring) -> Iterator[Finding]:
    found = wiring.policy()
    if found.shipped:
        yield Finding(
            "warning",
            "POLICY_SHIPPED",
            "the workspace has no policy of its own; the one that LonelyCat ships is in force",
            "Run `lonelycat init` to write one that fits this workspace.",
        )
    if not found.trusted:
        yield Finding(
            "warning",
            "POLICY_NOT_ADOPTED",
            "the policy file was changed by something other than LonelyCat; every change needs approval until a "
            "person has approved one under it",
            "Read the change to the policy; approve the next proposal if it is as it should be.",
        )


def _state(wiring: Wiring) -> Iterator[Finding]:
    if not wiring.has_records:
        return
    frozen = wiring.records.frozen()
    if frozen is not None:
        yield Finding(
            "error",
            "WORKSPACE_FROZEN",
            f"nothing executes here since {frozen.frozen_at.isoformat()}: {frozen.reason}",
            "Compare .lonelycat/tx and .lonelycat/quarantine with the workspace, mend it, run `lonelycat recover`, "
            f"then `lonelycat unfreeze --by NAME --reason TEXT`; {runbook.FROZEN}.",
        )
    for restart in wiring.records.pending_restarts():
        yield Finding(
            "error",
            "RESTART_PENDING",
            f"{restart.service} may still run with what {restart.execution_id} had changed: {restart.problem}",
            f"Mend what keeps it from starting, then run `lonelycat recover`; {runbook.PENDING_RESTART}.",
        )
    for item in wiring.records.failed_changes():
        failed = item.failed
        yield Finding(
            "warning",
            "DIGEST_QUARANTINED",
            f"change {failed.checksum} failed in {failed.execution_id} with {failed.code}; it waits for a person",
            f"Propose another change; or `lonelycat release {failed.checksum} --by NAME --reason TEXT`; "
            f"{runbook.FAILED_CHANGE}.",
        )
    for plan_id in wiring.records.tampered_proposals():
        yield Finding(
            "error",
            "STORED_CHANGESET_TAMPERED",
            f"the stored proposal {plan_id} was edited",
            "It cannot be executed; find out who wrote to the database, then propose the change again.",
        )


def _transactions(wiring: Wiring) -> Iterator[Finding]:
    for name in pending_transactions(wiring.filesystem, wiring.settings.workspace):
        yield Finding(
            "error",
            "TRANSACTION_UNFINISHED",
            f"{name} was interrupted, or is running now",
            "If nothing runs (`lonelycat status`), `lonelycat recover` finishes it or takes it back.",
        )
    for item in quarantined(wiring):
        yield Finding("warning", "QUARANTINED", _kept(item), item.what_to_do)


def _kept(item: Quarantined) -> str:
    path = "an unknown path" if item.path is None else printable(item.path)
    what = {
        "old_content": f"what {path} held before the change, which could not go back",
        "outside_content": f"what somebody else wrote to {path} while the change was made",
        "transaction": "a transaction whose journal cannot be read, with all old contents",
        "unknown": "something that LonelyCat cannot explain",
    }[item.holds]
    size = "" if item.size is None else f", {item.size} bytes"
    return f"{printable(item.place)} holds {what}{size}, since {item.kept_at.isoformat(timespec='seconds')}"


def _audit(wiring: Wiring) -> Iterator[Finding]:
    if not wiring.has_records:
        return
    hint = f"Keep .lonelycat as evidence, and see `lonelycat audit verify`; {runbook.ALTERED}."
    for problem in wiring.records.audit_verify().problems:
        yield Finding("error", problem.code, problem.message, hint)


def _disk(wiring: Wiring) -> Iterator[Finding]:
    """Look for room and rights where the lock, the journal, the backups and the database are written."""
    settings, seen = wiring.settings, set[int]()
    for place in (settings.workspace, settings.state_dir):
        if not place.exists() or (device := place.stat().st_dev) in seen:
            continue
        seen.add(device)
        found = os.statvfs(place)
        if found.f_flag & os.ST_RDONLY:
            yield Finding("error", "READ_ONLY", f"{place} lies on a read-only file system", "Remount it to be written.")
            continue
        room, files = found.f_bavail * found.f_frsize, found.f_favail if found.f_files else _FEWEST_FILES
        if room < _LEAST_ROOM or files < _FEWEST_FILES:
            yield Finding(
                "error",
                "NO_SPACE",
                f"{place} lies on a disk with room for {room} bytes and {files} files more",
                "Free some space; a change takes room for its new files beside the old ones until it is kept.",
            )


def _sandbox(wiring: Wiring) -> Iterator[Finding]:
    from lonelycat.checks.sandbox.level import Level

    policy = wiring.policy().loaded.policy
    wanted = [name for name, profile in policy.verification.items() if profile.sandbox.enabled]
    level, why = sandbox_here()
    if level is not Level.NONE or not wanted:
        return
    allowed = policy.executor.verification.unsandboxed == "allow"
    so = "verification runs without one" if allowed else "no change that has to be verified passes"
    yield Finding(
        "warning" if allowed else "error",
        "SANDBOX_UNAVAILABLE",
        f"no sandbox can be made here, so {so}: {why}",
        "Install bubblewrap (Debian: apt-get install bubblewrap), or allow user namespaces.",
    )


def sandbox_here() -> tuple[Level, str]:
    """Return what kind of sandbox verification runs in on this machine, and why it is not a better one."""
    from lonelycat.checks.sandbox.launch import ability
    from lonelycat.checks.sandbox.level import LEVELS, Level

    missing: list[str] = []
    for level in LEVELS:
        found = ability(level)
        if found.works:
            return level, "; ".join(missing)
        missing.append(f"{level}: {found.why}")
    return Level.NONE, "; ".join(missing)


def _unproven(wiring: Wiring) -> Iterator[Finding]:
    from lonelycat.runtime.unproven import unproven_but_testable

    for name in unproven_but_testable(wiring):
        yield Finding(
            "warning",
            "HEALTH_UNPROVEN",
            f"the health check {name} has never failed, so nobody knows whether it can",
            "`lonelycat health test` breaks a copy of its service and sees whether it notices.",
        )


_EXAMINATIONS: tuple[Callable[[Wiring], Iterator[Finding]], ...] = (
    _policy,
    _state,
    _transactions,
    _disk,
    _audit,
    _sandbox,
    _unproven,
)


def examine(wiring: Wiring) -> tuple[Finding, ...]:
    """Return every finding; an examination that fails is a finding itself."""
    findings: list[Finding] = []
    for examination in _EXAMINATIONS:
        try:
            findings.extend(examination(wiring))
        except LonelyCatError as error:
            findings.append(Finding("error", error.code, error.message, error.hint))
        except OSError as error:
            from lonelycat.runtime.steps import as_machine_error

            refused = as_machine_error(error)
            if refused is None:
                raise
            findings.append(Finding("error", refused.code, refused.message, refused.hint))
    return tuple(dict.fromkeys(findings))  # several may come upon the same
