"""Contents are opened when a rule judges them and let go: bounded memory, the same word whatever the length."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from lonelycat.changes import changeset as changesets
from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange
from lonelycat.changes.digest import sha256_hex
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.governance.facts import Facts, HeldContents

MIB = 1 << 20
SECRET = b"key = 'ghp_" + b"a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8" + b"'\n"
HIDDEN = "name = 'a\u202eb'\n".encode()
WIDE = {"executor": {"constraints": {"max_files_touched": 1000, "max_patch_lines": 10**7, "max_total_bytes": 10**9}}}


class Made:
    """Makes contents when asked, so that nothing but a rule can hold them; counts how often it was asked."""

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.asked = 0

    def content(self, path: str, revision: int) -> bytes:
        half = b"answer = 42 * 1\n" * (self.lines // 2)
        return path.encode() + b"\n" + half + b"revision = %d\n" % revision + half

    def change(self, path: str) -> FileChange:
        old, new = (self.content(path, revision) for revision in (0, 1))
        ref = BlobRef(sha256=sha256_hex(new), size=len(new))
        return FileChange.update(path, BlobRef(sha256=sha256_hex(old), size=len(old)), ref)

    def old(self, change: FileChange) -> bytes | None:
        self.asked += 1
        return self.content(change.path, 0)

    def new(self, change: FileChange) -> bytes | None:
        self.asked += 1
        return self.content(change.path, 1)


def test_a_decision_holds_a_part_of_the_contents_at_a_time(kit: Any, policy_of: Any) -> None:
    made = Made(lines=8000)
    changes = [made.change(f"src/m{number:03d}.py") for number in range(200)]
    both_sides = 2 * sum(change.new_size or 0 for change in changes)
    assert both_sides > 40 * MIB
    plan = kit.plan()
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    gate = kit.gate(policy_of(**WIDE), made)
    tracemalloc.start()
    try:
        decision = gate.evaluate(plan, changeset)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decision.verdict == "ALLOW", decision.reasons
    assert peak < 16 * MIB < both_sides / 2


def test_what_fits_is_read_once(kit: Any) -> None:
    made = Made(lines=50)
    facts = Facts([made.change(f"m{number}.py") for number in range(100)], made)
    for _ in range(3):
        assert facts.patch_lines_reach(200) and all(member.old and member.new for member in facts.members)
    assert made.asked == 200


def test_what_does_not_fit_is_read_again_and_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldContents, "TOTAL_BYTES", 0)
    made = Made(lines=50)
    members = Facts([made.change(f"m{number}.py") for number in range(10)], made).members
    bounds = [member.line_bounds for member in members]
    assert made.asked == 20
    assert [member.line_bounds for member in members] == bounds and all(member.old_known for member in members)
    assert made.asked == 20
    assert [member.old for member in members] == [made.content(member.change.path, 0) for member in members]
    assert made.asked == 30


def test_of_a_long_change_set_only_what_was_read_last_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(lines=50)
    for few, asked in ((True, 8), (False, 16)):
        monkeypatch.setattr(changesets, "_LONG", 5 if few else 4)
        members = Facts([made.change(f"m{number}.py") for number in range(4)], made).members
        before = made.asked
        for _ in range(2):
            assert all(member.old and member.old and member.new and member.new for member in members)
        assert made.asked - before == asked


def test_contents_that_are_gone_when_asked_again_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldContents, "TOTAL_BYTES", 0)
    made = Made(lines=50)
    first, second = Facts([made.change("a.py"), made.change("b.py")], made).members
    assert (first.patch_lines, second.old is None) == (2, False)
    monkeypatch.setattr(made, "old", lambda change: None)
    assert first.old is None
    assert first.adds_line(0, 1)  # unknown counts as new


@pytest.mark.parametrize("count", [2, 30])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_find_is_named_by_its_own_path_and_line_wherever_it_stands(
    kit: Any, policy_of: Any, count: int, place: int
) -> None:
    filler = b"".join(b"value_%d = %d\n" % (row, row) for row in range(8000))
    paths = [f"m{number:02d}.py" for number in range(count)]
    guilty = paths[place]
    changes = [
        FileChange.update(path, filler + b"x", filler + (SECRET + HIDDEN if path == guilty else b"y")) for path in paths
    ]
    decision: GovernanceDecision = kit.judge(changes, policy_of(**WIDE), olds=dict.fromkeys(paths, filler + b"x"))
    found = {reason.code: (reason.paths, reason.message) for reason in decision.reasons}
    assert found["SECRET_FOUND"][0] == found["BIDIRECTIONAL_TEXT"][0] == (guilty,)
    assert f"on line 8001 of '{guilty}'" in found["SECRET_FOUND"][1]
    assert found["BIDIRECTIONAL_TEXT"][1].endswith(f"line 8002 of '{guilty}'")
    assert set(found) == {"SECRET_FOUND", "BIDIRECTIONAL_TEXT"}


def test_finds_in_different_batches_are_reported_together(kit: Any, policy_of: Any) -> None:
    filler = b"".join(b"value_%d = %d\n" % (row, row) for row in range(8000))
    ends = {"a.py": SECRET, "m.py": b"\0", "z.py": SECRET, "z.txt": HIDDEN, "b/setup.py": b"import subprocess\n"}
    fillers = {f"n{number:02d}.py": b"" for number in range(20)}
    changes = [FileChange.create(path, filler + end) for path, end in {**ends, **fillers}.items()]
    decision = kit.judge(changes, policy_of(**WIDE))
    found = {reason.code: reason.paths for reason in decision.reasons}
    assert found["SECRET_FOUND"] == ("a.py", "z.py")
    assert (found["BINARY_CONTENT"], found["BIDIRECTIONAL_TEXT"]) == (("m.py",), ("z.txt",))
    assert found["INSTALL_HOOK"] == ("b/setup.py",)
