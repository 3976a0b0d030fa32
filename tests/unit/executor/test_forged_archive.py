"""Whatever lies in the place of ``old.tar``: recovery takes an old file as it was or nothing, in little memory."""

from __future__ import annotations

import os
import stat
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.executor.transactions import begin, recover, stage_of

from lonelycat.changes.changeset import FileChange
from lonelycat.executor.recovery import Recovered, RecoveryOutcome

NAMES = tuple(f"file-{number}" for number in range(9))
OLD = {name: name.encode() for name in NAMES}
UPDATES = tuple(FileChange.update(name, data, b"new " + data) for name, data in OLD.items())
TORN = NAMES[3]


@pytest.fixture
def archive(root: Path) -> Path:
    """The archive of a transaction that died, with one old file that is nowhere else."""
    for name, data in OLD.items():
        (root / name).write_bytes(data)
    with begin(root) as transaction:
        transaction.stage(UPDATES, {})
        transaction.apply()
    stage = stage_of(root)
    (stage / "000003.new").unlink()
    os.link(root / TORN, stage / "000003.new")
    return stage / "old.tar"


def _member(name: str = TORN, data: bytes = OLD[TORN], **fields: object) -> bytes:
    """Return a member as another program writes it, with a checksum that is right."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.uid, member.gid = len(data), 0o644, os.geteuid(), os.getegid()
    for field, value in fields.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def _left_alone(found: Recovered, root: Path) -> None:
    """Recovery failed, for the one file alone, and what it did not write is as it was."""
    assert found.outcome is RecoveryOutcome.FAILED
    held = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    assert held == {**OLD, TORN: b"new " + OLD[TORN]}
    assert stat.S_IMODE((root / TORN).stat().st_mode) == 0o644
    assert not list(root.parent.rglob("escaped"))


FORGED = {
    "set user": _member(mode=0o4755),
    "other rights": _member(mode=0o777),
    "a symbolic link": _member(type=tarfile.SYMTYPE, linkname="/etc/passwd", data=b""),
    "a hard link": _member(type=tarfile.LNKTYPE, linkname="file-1", data=b""),
    "a device": _member(type=tarfile.CHRTYPE, data=b""),
    "a directory": _member(type=tarfile.DIRTYPE, data=b""),
    "out of the stage": _member("../../../../escaped"),
    "absolute": _member("/tmp/escaped"),
    "in a prefix": _member("x/" * 60 + "escaped"),
    "other bytes": _member(data=b"other bytes"),
    "too many bytes": _member(data=OLD[TORN] + b"\0"),
    "cut off": _member()[:515],
    "no bytes": _member()[:512],
    "a size below zero": _member().replace(b"00000000006\0", b"-0000000001\0"),
    "another group, by damage": b"%b7%b" % (_member()[:122], _member()[123:]),
    "nothing": b"",
    "noise": os.urandom(4096),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_what_is_not_the_old_file_as_it_was_is_not_taken(forged: bytes, archive: Path, root: Path) -> None:
    genuine = archive.read_bytes()
    archive.write_bytes(forged + bytes(1024))
    _left_alone(recover(root), root)
    archive.write_bytes(genuine)
    assert recover(root).outcome is RecoveryOutcome.UNDONE
    assert {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()} == OLD


def test_of_two_the_one_with_the_old_bytes_is_taken(archive: Path, root: Path) -> None:
    archive.write_bytes(_member(data=b"other") + _member("file-1", b"new") + _member() + _member(data=b"again"))
    assert recover(root).outcome is RecoveryOutcome.UNDONE
    assert {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()} == OLD


def _huge(type_: bytes, form: int) -> Callable[[Path], None]:
    def put(place: Path) -> None:
        member = tarfile.TarInfo(TORN)
        member.size, member.type = 256 * 1024**2, type_
        place.write_bytes(member.tobuf(form))
        os.truncate(place, 512 * 1024**2)

    return put


def _fifo(place: Path) -> int:
    os.mkfifo(place)
    writer = os.open(place, os.O_RDWR | os.O_NONBLOCK)
    os.write(writer, _member())
    return writer


INSTEAD: dict[str, Callable[[Path], object]] = {
    "a huge file": _huge(tarfile.REGTYPE, tarfile.USTAR_FORMAT),
    "a huge comment": _huge(tarfile.XHDTYPE, tarfile.USTAR_FORMAT),
    "a huge name": _huge(tarfile.GNUTYPE_LONGNAME, tarfile.GNU_FORMAT),
    "a huge hole": lambda place: (place.touch(), os.truncate(place, 1 << 40)),
    "nothing": lambda place: None,
    "a directory": lambda place: place.mkdir(),
    "a link to what would do": lambda place: place.symlink_to("genuine"),
    "a FIFO with what would do": _fifo,
}


@pytest.mark.parametrize("put", INSTEAD.values(), ids=INSTEAD)
def test_what_is_not_the_archive_costs_little_memory_and_no_wait(
    put: Callable[[Path], object], archive: Path, root: Path
) -> None:
    archive.rename(archive.with_name("genuine"))
    held = put(archive)
    tracemalloc.start()
    found = recover(root)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if isinstance(held, int):
        os.close(held)
    assert peak < 8 * 1024**2
    _left_alone(found, root)
