"""The content-addressed store."""

from __future__ import annotations

import hashlib
import stat
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lonelycat.changes.changeset import BlobRef
from lonelycat.errors import InputError, RefusedError
from lonelycat.records.blobs import BlobStore


@pytest.fixture(params=[False, True])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", fsync=request.param, chunk_bytes=4)


@pytest.mark.parametrize("data", [b"", b"x", b"four", b"more than one chunk \x00\xff"])
def test_bytes_come_back(store: BlobStore, data: bytes) -> None:
    ref = store.put_bytes(data)
    assert (ref.sha256, ref.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert store.read(ref) == data
    assert store.has(ref)
    assert store.verify(ref)
    assert store.put_stream(iter([data[:1], b"", data[1:]])) == ref
    path = store.path(ref)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [name for name, _ in store] == [ref.sha256]
    assert list(store.leftovers()) == []


def test_what_is_not_there(store: BlobStore) -> None:
    ref = BlobRef(sha256="0" * 64, size=3)
    assert not store.has(ref)
    assert not store.verify(ref)
    assert list(store) == []
    with pytest.raises(InputError) as caught:
        store.read(ref)
    assert caught.value.code == "BLOB_MISSING"


@pytest.mark.parametrize("spoil", ["edited", "shorter", "longer", "size", "directory"])
def test_what_was_edited_is_refused(store: BlobStore, spoil: str) -> None:
    ref = store.put_bytes(b"content")
    path = store.path(ref)
    if spoil == "size":
        ref = BlobRef(sha256=ref.sha256, size=8)
    elif spoil == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"edited": b"kontent", "shorter": b"conten", "longer": b"content!"}[spoil])
    assert not store.verify(ref)
    with pytest.raises((RefusedError, OSError)):
        store.read(ref)


def test_a_link_in_place_of_a_blob_is_not_followed(store: BlobStore, tmp_path: Path) -> None:
    ref = store.put_bytes(b"content")
    (tmp_path / "same").write_bytes(b"content")
    store.path(ref).unlink()
    store.path(ref).symlink_to(tmp_path / "same")
    assert not store.has(ref)
    assert not store.verify(ref)
    store.put_bytes(b"content")
    assert store.verify(ref)
    assert not store.path(ref).is_symlink()


def test_a_damaged_blob_is_repaired_by_putting_it_again(store: BlobStore) -> None:
    ref = store.put_bytes(b"content")
    store.path(ref).write_bytes(b"rubbish")
    store.put_bytes(b"content")
    assert store.verify(ref)


def test_a_put_that_fails_leaves_nothing(store: BlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.put_stream(broken())
    assert list(store) == []
    assert list(store.leftovers()) == []


def test_a_large_stream_needs_the_memory_of_a_chunk(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", chunk_bytes=64 * 1024)
    tracemalloc.start()
    try:
        ref = store.put_stream(bytes(64 * 1024) for _ in range(512))
        assert store.verify(ref)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ref.size == 32 * 1024 * 1024
    assert peak < 1024 * 1024


def test_an_expendable_blob_takes_the_place_of_none_but_a_damaged_one(tmp_path: Path) -> None:
    durable = BlobStore(tmp_path / "blobs", fsync=True)
    ref = durable.put_bytes(b"kept for an approval")
    before = durable.path(ref).stat().st_ino
    assert durable.put_expendable(b"kept for an approval") == ref
    assert durable.path(ref).stat().st_ino == before
    durable.path(ref).write_bytes(b"")  # as a power cut may leave one that was not durable
    assert durable.put_expendable(b"kept for an approval") == ref
    assert durable.read(ref) == b"kept for an approval"


# -- packs -----------------------------------------------------------------------------------------------------------

PARTS = (b"first", b"", b"the second, longer than a chunk", b"\x00\xff", b"first")


def test_parts_of_a_pack_come_back(store: BlobStore) -> None:
    refs = store.put_together(PARTS)
    assert [store.read(ref) for ref in refs] == list(PARTS)
    assert [(ref.sha256, ref.size) for ref in refs] == [(hashlib.sha256(part).hexdigest(), len(part)) for part in PARTS]
    assert all(store.has(ref) and store.verify(ref) for ref in refs)
    whole = hashlib.sha256(b"".join(PARTS)).hexdigest()
    assert [name for name, _ in store] == [whole] == list({ref.blob for ref in refs})
    assert store.put_together(iter(PARTS)) == refs


@pytest.mark.parametrize("spoil", ["edited", "cut", "moved", "longer", "another"])
def test_a_part_that_is_not_what_it_says_is_refused(store: BlobStore, spoil: str) -> None:
    ref = store.put_together(PARTS)[2]
    path = store.path(ref)
    if spoil == "edited":
        path.write_bytes(path.read_bytes().replace(b"second", b"sekond"))
    elif spoil == "cut":
        path.write_bytes(path.read_bytes()[:20])
        assert not store.has(ref)
    changed = {"moved": {"offset": 4}, "longer": {"size": ref.size + 1}, "another": {"sha256": "0" * 64}}
    ref = replace(ref, **changed.get(spoil, {}))
    assert not store.verify(ref)
    with pytest.raises(RefusedError) as caught:
        store.read(ref)
    assert caught.value.code == "BLOB_TAMPERED"


def test_a_part_of_a_pack_that_is_gone_is_missing(store: BlobStore) -> None:
    ref = store.put_together(PARTS)[0]
    store.path(ref).unlink()
    assert not store.has(ref)
    with pytest.raises(InputError) as caught:
        store.read(ref)
    assert caught.value.code == "BLOB_MISSING"


def test_a_place_without_a_pack_is_refused() -> None:
    with pytest.raises(ValueError, match="offset belongs to a pack"):
        BlobRef(sha256="0" * 64, size=1, offset=1)


def test_packing_needs_memory_for_a_chunk(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", chunk_bytes=64 * 1024)
    tracemalloc.start()
    try:
        store.put_together(bytes([number % 256]) * 8192 for number in range(2000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024  # of 16 MiB
