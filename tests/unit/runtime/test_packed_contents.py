"""A proposal whose contents lie in a pack is shown, judged, executed and rebased like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance.ground import Ground

from lonelycat import BlobRef, ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.lifecycle import Status
from lonelycat.runtime.evidence import DIFF

pytestmark = pytest.mark.usefixtures("always_packed")
LINES = "".join(f"{number}\n" for number in range(40))
CHANGED = LINES.replace("\n20\n", "\ntwenty\n")
CHANGES = (
    FileChange.update("app/settings.txt", LINES, CHANGED),
    FileChange.create("app/new.txt", "new\n"),
)


@pytest.fixture
def lines(ground: Ground) -> Ground:
    return ground.begin({"app/settings.txt": LINES})


def _plan(ground: Ground) -> str:
    return ground.keep(CHANGES).plan.id


def _pack(ground: Ground, plan_id: str) -> Path:
    changeset = ground.cat().proposal(plan_id).changeset
    refs = [change.content for change in changeset.changes]
    assert all(isinstance(ref, BlobRef) and ref.pack is not None for ref in refs)
    assert isinstance(refs[0], BlobRef)
    return ground.cat()._wiring.records.blobs.path(refs[0])


def test_the_texts_are_shown_before_and_after(lines: Ground) -> None:
    plan_id = _plan(lines)
    shown = lines.cat().diff(plan_id)
    assert b"@@ -18,7 +18,7 @@\n" in shown and b"+twenty\n" in shown and b"+new\n" in shown
    result = lines.cat().execute(plan_id)
    assert result.success
    assert (lines.root / ".lonelycat/executions" / result.execution_id / DIFF).read_bytes() == shown


def test_a_judgement_tells_where_the_contents_are(lines: Ground) -> None:
    plan = ChangePlan.new(intent="x", created_by="agent:coder", affected_paths=["app/new.txt"])
    judged = lines.cat().keep(plan, ChangeSet.build(plan_id=plan.id, changes=CHANGES[1:]))
    assert judged.changeset == lines.cat().proposal(plan.id).changeset
    assert isinstance(judged.changeset.changes[0].content, BlobRef)


@pytest.mark.parametrize("how", ["edited", "cut", "removed"])
def test_a_pack_that_is_not_what_was_approved_is_refused(lines: Ground, how: str) -> None:
    plan_id = _plan(lines)
    path, before = _pack(lines, plan_id), lines.tree()
    if how == "edited":
        path.write_bytes(path.read_bytes().replace(b"twenty", b"twelve"))
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    result = lines.cat().execute(plan_id)
    assert result.status is Status.REJECTED
    assert result.error_code == ("BLOB_MISSING" if how == "removed" else "BLOB_TAMPERED")
    assert lines.tree() == before
    assert lines.leftovers() == []


def test_it_is_rebased_on_what_the_file_holds_today(lines: Ground) -> None:
    plan_id = _plan(lines)
    lines.write({"app/settings.txt": "first\n" + LINES})
    judgement = lines.cat().rebase(plan_id).judgement
    assert judgement is not None
    assert lines.cat().execute(judgement.plan.id).success
    assert (lines.root / "app/settings.txt").read_text() == "first\n" + CHANGED
