"""A git range whose contents wait in a spool is the same change, judged, stored and executed like any other."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Ground

from lonelycat import BlobRef, FileChange
from lonelycat.changes.changeset import checksum_of
from lonelycat.errors import RefusedError
from lonelycat.governance.policy import Verdict
from lonelycat.records import spool as spools
from lonelycat.records.blobs import BlobStore
from lonelycat.records.spool import Spool
from lonelycat.runtime.gathering import GatheredContents
from lonelycat.runtime.git import GitRepository
from lonelycat.runtime.requests import ChangeRequest
from lonelycat.settings import Limits

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
OLD = {f"app/{number}.txt": f"{number}\nold\n" for number in range(20)}
NEW = {**{path: text.replace("old", "new") for path, text in OLD.items()}, "app/empty": "", "app/same": "0\nnew\n"}
RANGE = ChangeRequest(git_range="main~1..main", intent="renew", by="agent:coder")


@pytest.fixture
def always_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spool the contents of every range, however few bytes they are."""
    begin = GatheredContents.__init__
    monkeypatch.setattr(GatheredContents, "__init__", lambda self, spool, most: begin(self, spool, 0))


def _ranged(ground: Ground, new: dict[str, str]) -> Ground:
    """Begin with OLD, commit ``new`` on top of it, and check the first commit out again."""
    ground.begin(OLD)
    ground.write(new)
    ground.git("add", "--all")
    ground.git("commit", "--quiet", "--message=new")
    ground.git("checkout", "--quiet", "--detach", "main~1")
    return ground


@pytest.fixture
def ranged(ground: Ground) -> Ground:
    return _ranged(ground, NEW)


def _no_blobs(chunks: Iterator[bytes]) -> BlobRef:
    raise AssertionError("nothing here is large")


def _judged(ask: Callable[[ChangeRequest], Any]) -> tuple[Any, ...]:
    judged = ask(RANGE)
    decision = judged.decision
    return judged.changeset.checksum, decision.verdict, decision.reasons, decision.risk_level_effective


def _everything_below(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def test_it_is_judged_as_if_it_carried_its_contents(
    ranged: Ground, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    inline = ranged.cat().check(RANGE)
    assert not any(isinstance(change.content, BlobRef) for change in inline.changeset.changes)
    request.getfixturevalue("always_spooled")
    for ask in (ranged.cat().check, ranged.cat().propose):
        judged = ask(RANGE)
        contents = [change.content for change in judged.changeset.changes]
        assert all(isinstance(content, BlobRef) and content.pack is not None for content in contents)
        assert judged.changeset.checksum == inline.changeset.checksum
        assert judged.decision.reasons == inline.decision.reasons
        assert (judged.decision.verdict, judged.explanation) == (inline.decision.verdict, inline.explanation)


@pytest.mark.usefixtures("always_spooled")
def test_it_is_stored_in_one_pack_and_executed(ranged: Ground) -> None:
    judged = ranged.cat().propose(RANGE)
    stored = ranged.cat().proposal(judged.plan.id).changeset
    assert stored == judged.changeset
    blobs = ranged.cat()._wiring.records.blobs
    assert {ref.blob for ref in (change.content for change in stored.changes) if isinstance(ref, BlobRef)} == {
        name for name, path in blobs if path.stat().st_size > 50
    }
    assert list(blobs.leftovers()) == []
    assert ranged.cat().execute(judged.plan.id).success
    assert {path: (ranged.root / path).read_text() for path in NEW} == NEW
    ranged.assert_sound()


@pytest.mark.usefixtures("always_spooled")
def test_what_is_denied_for_a_secret_is_nowhere(ground: Ground) -> None:
    ground.policy["content"]["secrets"] = "deny"
    _ranged(ground, {**NEW, "app/key.txt": f"token = {SECRET}\n"})
    judged = ground.cat().propose(RANGE)
    assert judged.decision.verdict is Verdict.DENY
    assert any("SECRET" in reason.code for reason in judged.decision.reasons)
    proposal = ground.cat().proposal(judged.plan.id)
    assert proposal.redacted
    assert [change.path for change in proposal.changeset.changes] == sorted([*NEW, "app/key.txt"])
    found = _everything_below(ground.root / ".lonelycat")
    assert SECRET.encode() not in found and b"19\nnew" not in found


@pytest.mark.usefixtures("always_spooled")
@pytest.mark.parametrize("how", ["cut", "edited"])
def test_a_spool_that_was_altered_is_refused(ranged: Ground, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    seal = Spool.seal

    def alter(self: Spool) -> BlobRef:
        was_sealed, pack = self.pack is not None, seal(self)
        if not was_sealed:
            assert self._file is not None
            if how == "cut":
                os.ftruncate(self._file.fileno(), pack.size // 2)
            else:
                os.pwrite(self._file.fileno(), b"evil", 0)
        return pack

    monkeypatch.setattr(Spool, "seal", alter)
    judged = ranged.cat().check(RANGE)
    unknown = [reason.paths for reason in judged.decision.reasons if reason.code == "UNSCANNED_CONTENT"]
    assert unknown and unknown[0], "what could not be read was not told"
    with pytest.raises(RefusedError) as caught:
        ranged.cat().propose(RANGE)
    assert caught.value.code == "BLOB_TAMPERED"
    assert ranged.cat().status().approved == () == ranged.cat().status().awaiting_approval
    assert b"new" not in b"".join(path.read_bytes() for _, path in ranged.cat()._wiring.records.blobs)


@pytest.mark.usefixtures("always_spooled")
def test_a_full_disk_is_a_refusal_that_leaves_nothing(ranged: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spools, "write_all", full)
    before = ranged.tree()
    cat = ranged.cat()
    with pytest.raises(OSError) as caught:
        cat.propose(RANGE)
    assert caught.value.errno == errno.ENOSPC
    assert ranged.tree() == before
    assert list(ranged.cat()._wiring.records.blobs) == []
    assert list((ranged.root / ".lonelycat/blobs").iterdir()) == []
    assert ranged.cat().status().approved == ()
    links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    assert not any(str(ranged.root) in link and link.endswith("(deleted)") for link in links)
    answer = ranged.run("propose", "--git", "main~1..main", "--intent", "renew", "--by", "agent:coder")
    assert answer.exit == 0  # a process of its own, whose disk has room


def test_three_thousand_files_are_the_same_change_set(tmp_path: Path) -> None:
    """With the limits as they are: 3 MiB together are spooled, and come back as they went in."""
    root = tmp_path / "workspace"
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)

    def text(number: int, revision: int) -> bytes:
        return f"{number} {revision}\n".encode() * (150 + number % 7)

    def commits() -> Iterator[bytes]:
        for revision in range(2):
            yield b"commit refs/heads/main\ncommitter t <t@localhost> 0 +0000\ndata 1\nx\n"
            for number in range(3000):
                data = text(number, revision)
                yield b"M 100644 inline d%d/f%d\ndata %d\n%s\n" % (number // 100, number, len(data), data)

    subprocess.run([*git, "fast-import", "--quiet"], input=b"".join(commits()), check=True)
    inline = GitRepository(root).changes_in_range("main~1..main", _no_blobs)
    with Spool(tmp_path / "blobs") as spool:
        spooled = GitRepository(root).changes_in_range("main~1..main", _no_blobs, spool)
        assert spool.pack is not None and spool.pack.size > Limits().inline_bytes_together
        blobs = BlobStore(tmp_path / "blobs", spool=spool)
        assert len(inline) == 3000
        assert checksum_of(spooled) == checksum_of(inline)
        for change, same in zip(spooled, inline, strict=True):
            assert isinstance(change.content, BlobRef)
            assert change.with_content_at(change.content) == change
            assert blobs.read(change.content) == same.content
            assert change.canonical() == same.canonical()
    digest = hashlib.sha256(b"".join(text(int(change.path.partition("/f")[2]), 1) for change in inline))
    assert spool.pack.sha256 == digest.hexdigest()  # the very pack that storing the contents makes


def test_up_to_the_limit_nothing_is_spooled(ranged: Ground) -> None:
    with Spool(ranged.base / "blobs") as spool:
        changes = GitRepository(ranged.root).changes_in_range("main~1..main", _no_blobs, spool)
        assert spool.pack is None
    assert all(isinstance(change, FileChange) and isinstance(change.content, bytes) for change in changes)
    assert not (ranged.base / "blobs").exists()


def test_no_more_than_the_bound_is_in_memory(tmp_path: Path) -> None:
    with Spool(tmp_path / "blobs") as spool:
        gathered = GatheredContents(spool, 100_000)
        tracemalloc.start()
        try:
            for number in range(1000):
                gathered.add(f"object {number}", "0" * 64, bytes([number % 256]) * 10_000)
            found = gathered.all()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2_000_000, "10 MB were added"
        assert [content.offset for _, content in found.values() if isinstance(content, BlobRef)] == [
            number * 10_000 for number in range(1000)
        ]
