"""The spool: a file that nobody finds, that leaves nothing, and whose bytes are checked like a blob's."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.real_disks import in_own_mounts, mount, unmount

from lonelycat.changes.changeset import BlobRef
from lonelycat.changes.digest import sha256_hex
from lonelycat.errors import RefusedError
from lonelycat.records.blobs import BlobStore
from lonelycat.records.spool import Spool

PARTS = (b"first", b"", b"x" * 200_000, b"\x00\xff last")
MARK = b"this must not stay anywhere"


@pytest.fixture(params=["unnamed", "unlinked"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with and without a file system that has files which never had a name."""
    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", request.param == "unnamed")
    return str(request.param)


def _filled(directory: Path, parts: tuple[bytes, ...] = PARTS) -> tuple[Spool, BlobStore, list[BlobRef]]:
    """Return a sealed spool, a store that has it, and references to its parts."""
    spool = Spool(directory)
    places = [spool.add(part) for part in parts]
    pack = spool.seal().sha256
    refs = [
        BlobRef(sha256=sha256_hex(part), size=len(part), pack=pack, offset=offset)
        for part, offset in zip(parts, places, strict=True)
    ]
    return spool, BlobStore(directory, chunk_bytes=1000, spool=spool), refs


def _file(spool: Spool) -> int:
    assert spool._file is not None
    return spool._file.fileno()


def _found(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if not path.is_dir()]


@pytest.mark.usefixtures("kind")
def test_parts_come_back_before_and_after_they_are_stored(tmp_path: Path) -> None:
    spool, store, refs = _filled(tmp_path / "blobs")
    with spool:
        assert tuple(map(store.read, refs)) == PARTS
        store.keep_spool(spool)
        assert [name for name, _ in store] == [sha256_hex(b"".join(PARTS))]
    assert tuple(map(BlobStore(tmp_path / "blobs").read, refs)) == PARTS
    assert list(store.leftovers()) == []


def test_it_is_the_pack_that_the_same_contents_make(tmp_path: Path) -> None:
    spool, _, refs = _filled(tmp_path / "one")
    with spool:
        assert tuple(refs) == BlobStore(tmp_path / "other").put_together(PARTS)


def test_it_has_no_name_and_gets_none(tmp_path: Path, kind: str) -> None:
    directory = tmp_path / "blobs"
    spool, _, _ = _filled(directory)
    with spool:
        assert _found(tmp_path) == []
        assert os.fstat(_file(spool)).st_nlink == 0
        assert os.fstat(_file(spool)).st_mode & 0o777 == 0o600
        assert directory.stat().st_mode & 0o777 == 0o700
        with pytest.raises(FileNotFoundError):  # with a directory's descriptor the call follows the link
            os.link(f"/proc/self/fd/{_file(spool)}", tmp_path / "named", src_dir_fd=_file(spool))
        assert not os.get_inheritable(_file(spool))
    assert _found(tmp_path) == [], kind


def test_nothing_is_made_before_the_first_content(tmp_path: Path) -> None:
    with Spool(tmp_path / "blobs") as spool:
        assert not spool.holds(BlobRef(sha256="0" * 64, size=1, pack="0" * 64))
    assert list(tmp_path.iterdir()) == []


def test_it_is_gone_after_a_kill(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from lonelycat.records.spool import Spool\n"
        f"spool = Spool(Path(sys.argv[1])); spool.add({MARK!r} * 10000); spool.seal()\n"
        "print('spooled', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "blobs")], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"spooled\n"
        watched = os.pidfd_open(child.pid)
        held = [os.readlink(link) for link in Path(f"/proc/{child.pid}/fd").iterdir()]
        assert any(str(tmp_path) in link and link.endswith("(deleted)") for link in held)
        child.send_signal(signal.SIGKILL)
        select.select([watched], [], [])
        os.close(watched)
    assert (tmp_path / "blobs").is_dir()
    assert _found(tmp_path) == []


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("how", ["cut", "emptied", "edited", "longer"])
def test_what_was_altered_is_refused_and_never_wrong(tmp_path: Path, how: str) -> None:
    spool, store, refs = _filled(tmp_path / "blobs")
    with spool:
        fd, size = _file(spool), sum(map(len, PARTS))
        if how == "cut":
            os.ftruncate(fd, size - 1)
        elif how == "emptied":
            os.ftruncate(fd, 0)
        elif how == "edited":
            os.pwrite(fd, b"F", 0)
        else:
            os.pwrite(fd, b"more", size)
        for ref, part in zip(refs, PARTS, strict=True):
            try:
                assert store.read(ref) == part
            except RefusedError as error:
                assert error.code == "BLOB_TAMPERED" and how != "longer"
        if how != "longer":  # what lies behind is no part of it
            with pytest.raises(RefusedError) as caught:
                store.keep_spool(spool)
            assert caught.value.code == "BLOB_TAMPERED"
            assert _found(tmp_path) == []


def test_a_part_that_reaches_beyond_it_is_refused(tmp_path: Path) -> None:
    spool, store, refs = _filled(tmp_path / "blobs")
    with spool:
        for wrong in ({"offset": refs[-1].offset + 1}, {"size": refs[-1].size + 1}, {"offset": 10**9}):
            with pytest.raises(RefusedError) as caught:
                store.read(replace(refs[-1], **wrong))
            assert caught.value.code == "BLOB_TAMPERED"


def test_a_closed_spool_gives_nothing(tmp_path: Path) -> None:
    spool, store, refs = _filled(tmp_path / "blobs")
    spool.close()
    with pytest.raises(RefusedError) as caught:
        store.read(refs[0])
    assert caught.value.code == "BLOB_TAMPERED"


def _fill(place: Path) -> tuple[int | None, bool, bool, list[Path]]:
    """Return on a disk of 1 MiB: the error, whether it was full, whether all is free again, and what is left."""
    place.mkdir()
    mount("tmpfs", place, "tmpfs", "size=1m")
    (place / "blobs").mkdir()
    free = os.statvfs(place).f_bfree
    code: int | None = None
    with Spool(place / "blobs") as spool:
        try:
            for _ in range(100):
                spool.add(MARK * 1000)
        except OSError as error:
            code = error.errno
        full = os.statvfs(place).f_bfree == 0
    end = code, full, os.statvfs(place).f_bfree == free, _found(place)
    unmount(place)
    return end


@pytest.mark.usefixtures("kind")
def test_a_full_disk_is_said_and_gets_its_room_back(tmp_path: Path) -> None:
    assert in_own_mounts(lambda: _fill(tmp_path / "small")) == (errno.ENOSPC, True, True, [])
