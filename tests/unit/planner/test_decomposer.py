from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.planner.decomposer import ChangeKind, decompose
from lonelycat.planner.path_kinds import PathKind, kind_of


def _changeset(*paths: str) -> ChangeSet:
    return ChangeSet.build(plan_id="plan_1", changes=[FileChange.create(path, "x\n") for path in paths])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("src/app/core.py", PathKind.SOURCE),
        ("docs/build/notes.md", PathKind.DOCUMENTATION),
        ("README", PathKind.DOCUMENTATION),
        ("tests/test_core.py", PathKind.TESTS),
        ("pkg/core_test.go", PathKind.TESTS),
        ("web/app.test.ts", PathKind.TESTS),
        (".github/workflows/ci.yml", PathKind.CI),
        ("docs/.github/workflows/ci.yml", PathKind.CI),
        (".github/ISSUE_TEMPLATE/bug.md", PathKind.DOCUMENTATION),
        ("requirements/dev.txt", PathKind.DEPENDENCIES),
        ("tests/requirements.txt", PathKind.DEPENDENCIES),
        ("package-lock.json", PathKind.DEPENDENCIES),
        ("app/migrations/0001_start.py", PathKind.SCHEMA),
        ("db/schema.sql", PathKind.SCHEMA),
        ("settings.yaml", PathKind.CONFIGURATION),
        ("Makefile", PathKind.CONFIGURATION),
        ("assets/blob.bin", PathKind.OTHER),
    ],
)
def test_kind_of_a_path(path: str, kind: PathKind) -> None:
    assert kind_of(path)[0] is kind


@given(st.text(alphabet="ab./_-T", min_size=1, max_size=30))
def test_every_path_has_a_kind_and_a_reason(path: str) -> None:
    kind, why = kind_of(path)
    assert kind in PathKind and why


@pytest.mark.parametrize(
    ("intent", "paths", "kind"),
    [
        ("Add a page", ("docs/a.md",), ChangeKind.DOCUMENTATION),
        ("Add", ("src/a.py", "tests/test_a.py", "docs/a.md"), ChangeKind.SOURCE),
        ("Refactor the parser", ("src/a.py",), ChangeKind.REFACTOR),
        ("docs: fix a typo", ("src/a.py",), ChangeKind.SOURCE),
        ("docs: fix a typo", (".github/workflows/x.yml",), ChangeKind.CI),
        ("Add", ("src/a.py", "requirements.txt"), ChangeKind.MIXED),
        ("Upgrade dependencies", ("blob.bin",), ChangeKind.DEPENDENCIES),
        ("Do it", ("blob.bin",), ChangeKind.OTHER),
    ],
)
def test_kind_of_a_change(intent: str, paths: tuple[str, ...], kind: ChangeKind) -> None:
    decomposition = decompose(intent, _changeset(*paths))
    assert decomposition.kind is kind
    for path in paths:
        assert any(path in line for line in decomposition.because)


def test_words_do_not_talk_paths_down() -> None:
    said = decompose("docs: fix a typo", _changeset("src/a.py")).because
    assert any("'docs'" in line and "the paths decide" in line for line in said)


def test_deleting_and_renaming() -> None:
    gone = ChangeSet.build(plan_id="plan_1", changes=[FileChange.delete("src/a.py", b"x")])
    moved = ChangeSet.build(plan_id="plan_1", changes=[FileChange.rename("src/a.py", "src/b.py", b"x")])
    assert decompose("x", gone).kind is ChangeKind.DELETION
    assert decompose("x", moved).kind is ChangeKind.REFACTOR
