"""Hostile state: lock files, journals, the database, the clock, the audit log: what cannot be read executes nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.interfaces.hostile.siege import BY, POLICY_PATH, Answer, Siege, draft, ended, sha
from tests.patience import until

from lonelycat.clock import SystemClock
from lonelycat.executor.journal import JOURNAL

OLD = b"old\n"


@pytest.fixture
def ground(siege: Siege) -> Siege:
    return siege.begin()


def _execute(siege: Siege, name: str = "app/x") -> Answer:
    body = json.dumps({"changes": [draft("create", name)]}).encode()
    return siege.cli("run", "--changeset", "-", *BY, stdin=body)


# -- the lock ----------------------------------------

HOLDER = {"execution_id": "exec_dead", "plan_id": "plan_dead", "acquired_at": "2026-01-01T00:00:00Z", "fence": 1}
DEAD: dict[str, bytes] = {
    "empty": b"",
    "torn": json.dumps({**HOLDER, "pid": 1, "hostname": "h"}).encode()[:30],
    "garbage": b"\xff\x00\xfe",
    "huge": b"[" * 100_000,
    "a list": b"[]",
    "hostile fields": json.dumps({"execution_id": ["x"], "pid": "1", "hostname": None}).encode(),
    "recycled pid": json.dumps({**HOLDER, "pid": os.getpid(), "hostname": os.uname().nodename}).encode(),
    "init": json.dumps({**HOLDER, "pid": 1, "hostname": os.uname().nodename}).encode(),
    "foreign host": json.dumps({**HOLDER, "pid": 7, "hostname": "elsewhere.example"}).encode(),
    "huge pid": json.dumps({**HOLDER, "pid": 10**30, "hostname": "h"}).encode(),
}


@pytest.mark.parametrize("case", DEAD)
def test_a_lock_file_that_nobody_holds_is_taken_over(ground: Siege, case: str) -> None:
    assert _execute(ground, "app/first").exit == 0
    (ground.root / ".lonelycat/locks/execution.lock").write_bytes(DEAD[case])
    assert ground.cli("status").facts["running"] is None
    assert _execute(ground).exit == 0
    assert not (ground.root / ".lonelycat/locks/execution.lock").exists()


@pytest.mark.parametrize("name", ["execution.lock", "guard", "fence"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "directory", "device"])
def test_a_lock_that_is_no_plain_file_is_never_followed_and_never_hangs(ground: Siege, name: str, kind: str) -> None:
    assert _execute(ground, "app/first").exit == 0
    path = ground.root / ".lonelycat/locks" / name
    path.unlink(missing_ok=True)
    canary = ground.outside / "canary"
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(canary),
        "dangling link": lambda: path.symlink_to(ground.outside / "made"),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "device": lambda: os.mknod(path, 0o020666, os.makedev(1, 3)),
    }
    make[kind]()
    tree = ground.tree()
    done = ground.finish(ground.start("run", "--patch", ground.file("a.patch", _patch()), *BY))
    if done.exit == 0:
        assert name == "execution.lock"  # it only tells; a name that is no file is taken out of the way
    else:
        assert done.exit in (1, 4), done
        assert done.facts["hint"], done
        assert ground.tree() == tree
    assert canary.read_text() == "alive\n"
    assert not (ground.outside / "made").exists()


def _patch() -> bytes:
    return b"diff --git a/app/p b/app/p\nnew file mode 100644\n--- /dev/null\n+++ b/app/p\n@@ -0,0 +1 @@\n+x\n"


@pytest.mark.parametrize("place", [".lonelycat", ".lonelycat/tx", ".lonelycat/locks"])
@pytest.mark.parametrize("kind", ["link", "file", "open to all"])
def test_a_state_directory_that_is_not_private_is_not_used(ground: Siege, place: str, kind: str) -> None:
    path = ground.root / place
    path.parent.mkdir(exist_ok=True, mode=0o700)
    elsewhere = ground.base / "elsewhere"
    elsewhere.mkdir()
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "file":
        path.write_bytes(b"")
    else:
        path.mkdir()
        path.chmod(0o777)
    tree = ground.tree()
    done = _execute(ground)
    if kind == "open to all" and place == ".lonelycat" and done.exit == 0:
        assert path.stat().st_mode & 0o077 == 0, "it was used as it is"
        return
    ground.refused(done, {"STATE_DIRECTORY_UNSAFE"}, {1, 4})
    assert ground.tree() == tree
    assert list(elsewhere.iterdir()) == []


# -- the journal ----------------------------------------


@pytest.fixture
def killed(siege: Siege) -> Siege:
    """A run that was killed while its verification ran: applied, not committed."""
    wait = "(notes / 'applied').touch()\nwhile not (notes / 'go').exists(): time.sleep(0.005)"
    siege.policy["verification"]["look"]["argv"] = siege.argv(wait)
    siege.begin()
    process = siege.start("run", "--patch", siege.file("a.patch", _patch()), *BY)
    try:
        until((siege.notes / "applied").exists, "the verification")
    finally:
        process.kill()
        process.communicate()
    (siege.notes / "go").touch()
    assert (siege.root / "app/p").read_bytes() == b"x\n"
    assert len(siege.leftovers()) == 1
    return siege


def _journal(siege: Siege) -> Path:
    (name,) = siege.leftovers()
    return siege.root / ".lonelycat/tx" / name / JOURNAL


def test_the_next_command_takes_back_what_a_killed_one_left(killed: Siege) -> None:
    before = {name: facts for name, facts in killed.contents().items() if not name.endswith("app/p")}
    done = _execute(killed, "app/next")
    assert done.exit == 0, done
    after = killed.contents()
    del after["workspace/app/next"]
    assert after == before
    assert killed.leftovers() == []
    statuses = [row["status"] for row in killed.cli("log").facts["executions"]]
    assert sorted(statuses) == ["completed", "rolled_back"]


@pytest.mark.parametrize("place", ["magic", "length", "body", "checksum", "all"])
def test_a_flipped_bit_is_quarantined_and_freezes(killed: Siege, place: str) -> None:
    journal = _journal(killed)
    data = bytearray(journal.read_bytes())
    for position in {"magic": [1], "length": [6], "body": [40], "checksum": [-3], "all": range(len(data))}[place]:
        data[position] ^= 0x10
    journal.write_bytes(data)
    (name,) = killed.leftovers()
    held = sorted(item.name for item in journal.parent.iterdir())
    tree = killed.tree()
    done = _execute(killed, "app/next")
    killed.refused(done, "WORKSPACE_FROZEN", {7})
    assert killed.tree() == tree
    aside = killed.root / ".lonelycat/quarantine" / f"{name}.transaction"
    assert sorted(item.name for item in aside.iterdir()) == held
    assert bytes(data) == (aside / JOURNAL).read_bytes()
    found = {item["code"] for item in killed.cli("doctor").facts["findings"]}
    assert {"WORKSPACE_FROZEN", "QUARANTINED"} <= found
    assert killed.cli("unfreeze", "--by", "human", "--reason", "looked at it").exit == 0
    assert _execute(killed, "app/next").exit == 0


@pytest.mark.parametrize("tail", [b"\x89", b"\x89LCJ0000", b"\x89LCJ00000100{", b"\0" * 4096, b"garbage\n"])
def test_a_torn_tail_is_ignored(killed: Siege, tail: bytes) -> None:
    with _journal(killed).open("ab") as file:
        file.write(tail)
    done = killed.cli("recover")
    assert done.exit == 0, done
    assert [item["outcome"] for item in done.facts["recovered"]] == ["undone"]
    assert not (killed.root / "app/p").exists()


def test_a_missing_journal_means_that_nothing_was_applied(ground: Siege) -> None:
    assert _execute(ground, "app/first").exit == 0
    stray = ground.root / ".lonelycat/tx/exec_stray"
    stray.mkdir()
    (stray / "0.new").write_bytes(b"half written")
    tree = ground.tree()
    done = ground.cli("recover")
    assert (done.exit, [item["outcome"] for item in done.facts["recovered"]]) == (0, ["nothing_applied"])
    assert ground.tree() == tree
    assert ground.leftovers() == []


@pytest.mark.parametrize("kind", ["file", "link", "fifo"])
def test_what_is_no_transaction_does_not_stop_the_workspace_for_good_without_a_word(ground: Siege, kind: str) -> None:
    assert _execute(ground, "app/first").exit == 0
    stray = ground.root / ".lonelycat/tx/stray"
    if kind == "file":
        stray.write_bytes(b"")
    elif kind == "link":
        stray.symlink_to(ground.outside)
    else:
        os.mkfifo(stray)
    tree = ground.tree()
    done = _execute(ground)
    if done.exit != 0:
        assert done.facts["hint"], done
        assert ground.tree() == tree
    assert (ground.outside / "canary").exists()


def test_a_change_that_outsiders_built_on_is_left_alone_by_recovery(killed: Siege) -> None:
    (killed.root / "app/p").write_bytes(b"mine now\n")
    done = killed.cli("recover")
    assert [item["outcome"] for item in done.facts["recovered"]] == ["conflict"]
    assert (killed.root / "app/p").read_bytes() == b"mine now\n"


# -- the database ----------------------------------------


def _damage(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "garbage":
        path.write_bytes(b"not a database " * 1000)
    elif how == "zeroed header":
        with path.open("r+b") as file:
            file.write(b"\0" * 100)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
    elif how == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
    elif how == "directory":
        path.unlink()
        path.mkdir()
    elif how == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif how == "link":
        aside = path.with_name("aside.db")
        path.rename(aside)
        path.symlink_to(aside)


DAMAGES = ["missing", "garbage", "zeroed header", "empty", "truncated", "newer", "directory", "fifo", "link"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_database_refuses_new_work_and_says_which(ground: Siege, how: str) -> None:
    assert _execute(ground, "app/first").exit == 0
    plan_id = ground.propose(draft("create", "app/x"))
    _damage(ground.root / ".lonelycat/lonelycat.db", how)
    tree = ground.tree()
    for done in (_execute(ground, "app/y"), ground.cli("execute", plan_id), ground.cli("log")):
        assert done.code is not None, done
        assert done.code.startswith("DATABASE_"), done
        assert done.facts["hint"], done
    assert ground.tree() == tree
    findings = ground.cli("doctor").facts["findings"]
    assert [item for item in findings if item["severity"] == "error"], findings


@pytest.mark.parametrize("how", ["missing", "garbage", "zeroed header"])
def test_files_are_recovered_from_the_journal_even_without_a_database(killed: Siege, how: str) -> None:
    _damage(killed.root / ".lonelycat/lonelycat.db", how)
    done = killed.cli("recover")
    assert done.exit != 0, done
    assert (done.code or "").startswith("DATABASE_"), done
    assert not (killed.root / "app/p").exists(), "the journal alone says how to take it back"


@pytest.mark.parametrize("how", ["missing", "broken"])
def test_files_are_recovered_even_without_a_policy(killed: Siege, how: str) -> None:
    """A change to the policy itself may be what was interrupted."""
    policy = killed.root / POLICY_PATH
    policy.unlink() if how == "missing" else policy.write_bytes(b"{")
    done = killed.cli("recover")
    assert (done.exit, [item["outcome"] for item in done.facts["recovered"]]) == (0, ["undone"]), done
    assert not (killed.root / "app/p").exists()


def test_a_stored_proposal_that_was_edited_is_not_executed(ground: Siege) -> None:
    plan_id = ground.propose(draft("create", "app/x", content="harmless\n"))
    connection = sqlite3.connect(ground.root / ".lonelycat/lonelycat.db")
    edited = 0
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            if kind.upper() in ("TEXT", "BLOB", "JSON") or kind.upper().startswith("VARCHAR"):
                change = f"{name} = replace({name}, 'harmless', 'hostile!')"
                edited += connection.execute(f"UPDATE {table} SET {change} WHERE {name} LIKE '%harmless%'").rowcount
    connection.commit()
    connection.close()
    assert edited >= 1
    tree = ground.tree()
    ground.refused(ground.cli("execute", plan_id), "STORED_CHANGESET_TAMPERED", {4})
    assert ground.tree() == tree
    assert ground.cli("audit", "verify").exit != 0 or ground.cli("doctor").facts["findings"]


# -- clock and audit log ----------------------------------------


def test_a_clock_set_back_neither_runs_twice_nor_stops_the_work(ground: Siege, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _execute(ground, "app/x")
    plan_id = first.facts["plan_id"]
    real = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda self: real(self) - timedelta(days=400))
    again = ground.cli("execute", plan_id)
    assert again.facts["cached"] is True
    assert again.facts["execution_id"] == first.facts["execution_id"]
    assert _execute(ground, "app/y").exit == 0
    assert ground.cli("audit", "verify").exit == 0


def test_a_clock_set_forward_expires_decisions(ground: Siege, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_id = ground.propose(draft("create", "app/x"))
    real = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda self: real(self) + timedelta(days=400))
    tree = ground.tree()
    ground.refused(ground.cli("execute", plan_id), "DECISION_EXPIRED", {4})
    assert ground.tree() == tree


@pytest.mark.parametrize("how", ["edited", "one removed", "truncated", "renumbered", "another signature"])
def test_an_edited_audit_log_is_noticed(ground: Siege, how: str) -> None:
    assert _execute(ground, "app/x").exit == 0
    head = ground.cli("audit", "verify").facts
    assert head["ok"], head
    connection = sqlite3.connect(ground.root / ".lonelycat/lonelycat.db")
    last = connection.execute("SELECT max(seq) FROM audit").fetchone()[0]
    statement = {
        "edited": "UPDATE audit SET payload = replace(payload, 'agent:coder', 'agent:other')",
        "one removed": f"DELETE FROM audit WHERE seq = {last - 1}",
        "truncated": f"DELETE FROM audit WHERE seq = {last}",
        "renumbered": f"UPDATE audit SET seq = seq + 10 WHERE seq = {last}",
        "another signature": f"UPDATE audit SET signature = 'AAAA' WHERE seq = {last}",
    }[how]
    assert connection.execute(statement).rowcount >= 1
    connection.commit()
    connection.close()
    done = ground.cli("audit", "verify")
    assert not done.facts["ok"], done
    assert done.facts["hint"], done
    if how != "truncated":
        findings = ground.cli("doctor").facts["findings"]
        assert [item for item in findings if item["severity"] == "error"], findings


@pytest.mark.parametrize("how", ["missing", "another", "open to all", "link", "garbage"])
def test_without_the_gates_key_nothing_is_executed(ground: Siege, how: str) -> None:
    plan_id = ground.propose(draft("create", "app/x"))
    key = ground.root / ".lonelycat/keys/gate.pem"
    if how == "missing":
        key.unlink()
    elif how == "another":
        other = Siege(_made(ground.base / "second")).begin()
        other.propose(draft("create", "app/x"))
        key.write_bytes((other.root / ".lonelycat/keys/gate.pem").read_bytes())
    elif how == "open to all":
        key.chmod(0o644)
    elif how == "link":
        shutil.move(key, ground.outside / "gate.pem")
        key.symlink_to(ground.outside / "gate.pem")
    else:
        key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    tree = ground.tree()
    done = ground.cli("execute", plan_id)
    assert done.exit in (1, 2, 4), done
    assert done.facts["hint"], done
    assert ground.tree() == tree


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def test_two_at_once_wait_and_a_short_patience_names_the_holder(siege: Siege) -> None:
    wait = "(notes / 'applied').touch()\nwhile not (notes / 'go').exists(): time.sleep(0.005)"
    siege.policy["verification"]["look"]["argv"] = siege.argv(wait)
    siege.begin()
    first = siege.start("run", "--patch", siege.file("a.patch", _patch()), *BY)
    try:
        until((siege.notes / "applied").exists, "the verification")
        plan_id = siege.propose(draft("create", "app/second"))
        holder = siege.cli("status").facts["running"]
        done = siege.cli("execute", plan_id, "--lock-timeout", "0.2")
        siege.refused(done, "LOCK_TIMEOUT", {8}, holder["execution_id"])
        (siege.notes / "go").touch()
        assert siege.finish(first).exit == 0
    finally:
        ended([first])
    assert siege.cli("execute", plan_id).exit == 0


def test_a_blob_that_was_exchanged_is_not_written(ground: Siege) -> None:
    from hashlib import sha256

    data = bytes(range(256)) * 1024
    ground.write({"big": b"0\n"})
    ground.git("add", "-A")
    ground.git("commit", "-q", "-m", "one")
    ground.write({"big": data})
    ground.git("add", "-A")
    ground.git("commit", "-q", "-m", "two")
    ground.write({"big": b"0\n"})
    done = ground.cli("propose", "--git", "HEAD~1..HEAD", *BY)
    assert done.exit == 0, done
    (blob,) = [path for path in (ground.root / ".lonelycat/blobs").rglob("*") if path.is_file()]
    assert sha256(blob.read_bytes()).hexdigest() == sha(data)
    blob.chmod(0o600)
    blob.write_bytes(data[:-1] + b"!")
    tree = ground.tree()
    ground.refused(ground.cli("execute", done.facts["plan_id"]), {"BLOB_TAMPERED", "BLOB_DAMAGED"}, {4})
    assert ground.tree() == tree
