"""What people do for a workspace itself: release a freeze, and remove what is old and needed by nothing.

Invariant: neither touches a file of the workspace, a pending transaction or what lies in quarantine.
"""

from __future__ import annotations

from lonelycat.errors import InputError
from lonelycat.executor.recovery import pending_transactions
from lonelycat.records.entries import GcReport
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.quarantined import in_quarantine


def unfreeze(wiring: Wiring, *, by: str, reason: str) -> None:
    """Release a frozen workspace; restarts due of services that the policy no longer defines are written off.

    Raises:
        InputError: ``NOT_FROZEN``.
    """
    if not wiring.has_records or wiring.records.frozen() is None:
        raise InputError("NOT_FROZEN", "the workspace is not frozen", "There is nothing to release.")
    wiring.records.unfreeze(by, reason)
    due = wiring.records.pending_restarts()
    known = wiring.policy().loaded.policy.services if due else {}
    for restart in due:
        if restart.service not in known:
            wiring.records.restart_done(restart.service, by=by, reason=reason)


def collect_garbage(wiring: Wiring, *, keep_days: float, keep_count: int, dry_run: bool) -> GcReport:
    """Remove old executions, proposals and blobs that nothing needs any more.

    Args:
        keep_days, keep_count: how many days, and how many executions, are kept whatever else.
        dry_run: only say what would go.
    """
    if not wiring.has_records:
        return GcReport((), (), 0, 0, dry_run)
    pending = pending_transactions(wiring.filesystem, wiring.settings.workspace)
    in_use = {*pending, *in_quarantine(wiring)}
    return wiring.records.gc(keep_days=keep_days, keep_count=keep_count, in_use=in_use, dry_run=dry_run)
