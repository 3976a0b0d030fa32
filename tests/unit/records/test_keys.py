"""The state directory and the keys: private, never replaced, never followed through links."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from lonelycat.errors import InputError, StateError
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.records.keys import (
    load_or_create_gate_key,
    load_private_key,
    prepare_state_directory,
    write_private_key,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_state_directory_is_private_and_ignores_itself(tmp_path: Path) -> None:
    state = tmp_path / "deep" / ".lonelycat"
    prepare_state_directory(state)
    prepare_state_directory(state)
    assert mode(state) == 0o700
    assert (state / ".gitignore").read_text() == "*\n"


def test_an_open_state_directory_is_closed(tmp_path: Path) -> None:
    tmp_path.joinpath("s").mkdir(mode=0o755)
    (tmp_path / "s").chmod(0o777)
    prepare_state_directory(tmp_path / "s")
    assert mode(tmp_path / "s") == 0o700


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_state_directory_that_is_something_else_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    state = tmp_path / ".lonelycat"
    state.symlink_to(tmp_path / "elsewhere") if kind == "link" else state.touch()
    with pytest.raises(StateError) as caught:
        prepare_state_directory(state)
    assert caught.value.code == "STATE_DIRECTORY_UNSAFE"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_gate_key_is_made_once(tmp_path: Path) -> None:
    first = load_or_create_gate_key(tmp_path)
    assert load_or_create_gate_key(tmp_path).public_key == first.public_key
    assert mode(tmp_path / "keys" / "gate.pem") == 0o600
    assert mode(tmp_path / "keys") == 0o700
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["gate.pem"]


def test_threads_that_make_it_at_once_get_the_same_key(tmp_path: Path) -> None:
    found, barrier = [], threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        found.append(load_or_create_gate_key(tmp_path).public_key)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("left", ["lonelycat.db", "database-created"])
def test_a_lost_key_is_not_replaced(tmp_path: Path, left: str) -> None:
    (tmp_path / left).touch()
    with pytest.raises(StateError) as caught:
        load_or_create_gate_key(tmp_path)
    assert caught.value.code == "KEY_MISSING"
    assert not (tmp_path / "keys").exists()


def test_keys_that_others_can_read_links_fifos_and_nonsense_are_refused(tmp_path: Path) -> None:
    write_private_key(tmp_path / "open", Ed25519Signer.generate())
    (tmp_path / "open").chmod(0o640)
    write_private_key(tmp_path / "good", Ed25519Signer.generate())
    (tmp_path / "link").symlink_to("good")
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "bad").touch(mode=0o600)
    codes = {}
    for name in ("open", "link", "fifo", "bad", "none"):
        with pytest.raises((StateError, InputError)) as caught:
            load_private_key(tmp_path / name)
        codes[name] = caught.value.code
    assert codes == {
        "open": "KEY_UNSAFE",
        "link": "KEY_UNREADABLE",
        "fifo": "KEY_UNSAFE",
        "bad": "KEY_MALFORMED",
        "none": "KEY_UNREADABLE",
    }


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    write_private_key(tmp_path / "k", Ed25519Signer.generate())
    before = (tmp_path / "k").read_bytes()
    with pytest.raises(FileExistsError):
        write_private_key(tmp_path / "k", Ed25519Signer.generate())
    assert (tmp_path / "k").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_the_names_of_new_directories_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("lonelycat.records.keys.sync_file", lambda fd: synced.append(os.fstat(fd).st_ino))
    state = tmp_path / ".lonelycat"
    prepare_state_directory(state)
    assert tmp_path.stat().st_ino in synced
    synced.clear()
    load_or_create_gate_key(state)
    assert {state.stat().st_ino, (state / "keys").stat().st_ino} < set(synced)
    synced.clear()
    prepare_state_directory(state)
    load_or_create_gate_key(state)
    assert synced == []
