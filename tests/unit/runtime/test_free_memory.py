"""Between the parts of a large change nothing stays in memory that only saves time."""

from __future__ import annotations

from lonelycat import ChangeSet, FileChange
from lonelycat.changes import paths
from lonelycat.governance import matching
from lonelycat.planner import path_kinds
from lonelycat.runtime.free_memory import give_back_memory

KNOWN = (
    paths.check_path,
    matching._folded,
    matching._parts,
    matching._components,
    matching._summary,
    path_kinds.kind_of,
)


def _looked_at(files: int) -> ChangeSet:
    """Return a change set about whose paths everything is known."""
    changes = [FileChange.create(f"Src/{number}.py", b"x") for number in range(files)]
    for change in changes:
        path_kinds.kind_of(change.path)
    matcher = matching.compile_globs(("docs/**", "*.md"), folds=True)
    assert matcher.select(tuple(change.path for change in changes)) == []
    return ChangeSet.build(plan_id="plan_1", changes=changes)


def test_what_is_known_of_very_many_paths_is_let_go() -> None:
    changeset = _looked_at(4000)
    assert all(known.cache_info().currsize > 0 for known in KNOWN)
    give_back_memory(changeset)
    assert [known.cache_info().currsize for known in KNOWN] == [0] * len(KNOWN)


def test_what_is_known_of_few_paths_stays() -> None:
    changeset = _looked_at(10)
    give_back_memory(changeset)
    assert all(known.cache_info().currsize > 0 for known in KNOWN)
