"""Where a person reads what to do when something is wrong."""

ALTERED = "docs/runbook.md#altered-records"
FROZEN = "docs/runbook.md#frozen-workspace-rollback-failed"
FAILED_CHANGE = "docs/runbook.md#failed-change-in-quarantine"
PENDING_RESTART = "docs/runbook.md#restart-pending"
