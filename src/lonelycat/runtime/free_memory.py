"""Between the parts of a large change: what one has freed is not to be held back while the next takes its own."""

from __future__ import annotations

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.paths import forget_paths
from lonelycat.governance.matching import forget_matches
from lonelycat.planner.path_kinds import forget_kinds
from lonelycat.platforms import native_calls


def give_back_memory(changeset: ChangeSet) -> None:
    """Return freed memory to the system where ``changeset`` is long; some milliseconds, so not where it is short.

    What was found out about paths goes first: each part asks about all of them once, and of so many the answers take
    more than the paths. Contents of a few hundred bytes to some KiB lie side by side in the C library's heap; freed,
    they stay this process's for as long as anything lives behind them, and larger things are not put there.
    """
    if changeset.is_long:
        forget_paths()
        forget_matches()
        forget_kinds()
        native_calls().give_back_memory()
