"""A full disk, before and during an execution: of the workspace, and of the state alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interfaces.hostile.siege import BY, Siege, draft, ended
from tests.patience import until


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _fill(place: Path) -> Path:
    name = place / "ballast-of-others"
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        return name
    finally:
        os.close(descriptor)


@pytest.fixture
def elsewhere(siege: Siege, small: Path, monkeypatch: pytest.MonkeyPatch) -> Siege:
    """A workspace whose state lies on the small disk."""
    real = siege.environment
    monkeypatch.setattr(siege, "environment", lambda: {**real(), "LONELYCAT_STATE_DIR": str(small / "state")})
    return siege


@pytest.fixture
def inside(siege: Siege, small: Path) -> Siege:
    """A workspace that lies on the small disk with its state."""
    siege.root.rmdir()
    siege.root = small / "workspace"
    siege.root.mkdir()
    return siege


@pytest.mark.parametrize("where", ["inside", "elsewhere"])
def test_full_before_it_begins_is_refused(where: str, small: Path, request: pytest.FixtureRequest) -> None:
    siege: Siege = request.getfixturevalue(where)
    siege.begin()
    plan_id = siege.propose(draft("create", "app/big", content="x" * 100_000), draft("update", "app/settings.txt"))
    before = siege.contents()
    filler = _fill(small)
    done = siege.process("execute", plan_id)
    siege.refused(done, {"NO_SPACE", "DATABASE_FULL", "DATABASE_IO"}, {1, 4})
    assert siege.contents() == before
    again = siege.process("run", "--patch", siege.file("a.patch", b"no patch"), *BY)
    assert again.exit in (1, 2, 4), again
    assert again.facts["hint"], again
    filler.unlink()
    done = siege.process("execute", plan_id)
    assert done.exit == 0, done
    assert siege.leftovers() == []
    assert siege.process("audit", "verify").exit == 0


@pytest.mark.parametrize("where", ["inside", "elsewhere"])
@pytest.mark.parametrize("end", ["pass", "sys.exit(3)"], ids=["verification passes", "verification fails"])
def test_filled_while_it_verifies_ends_one_way_or_the_other(
    where: str, end: str, small: Path, request: pytest.FixtureRequest
) -> None:
    siege: Siege = request.getfixturevalue(where)
    wait = "(notes / 'applied').touch()\nwhile not (notes / 'go').exists(): time.sleep(0.005)\n"
    siege.policy["verification"]["look"]["argv"] = siege.argv(wait + end)
    siege.begin()
    before = siege.contents()
    changes = draft("create", "app/new"), draft("update", "app/settings.txt"), draft("delete", "readme.md")
    plan_id = siege.propose(*changes)
    process = siege.start("execute", plan_id)
    try:
        until(lambda: (siege.notes / "applied").exists() or process.poll() is not None, "the verification")
        assert process.poll() is None, process.communicate()
        filler = _fill(small)
        (siege.notes / "go").touch()
        done = siege.finish(process)
    finally:
        ended([process])
    assert done.exit in (0, 1, 6), done
    filler.unlink()
    recovered = siege.process("recover")
    assert recovered.exit == 0, recovered
    if done.exit == 0 or (siege.root / "app/new").exists():
        assert end == "pass"
        assert (siege.root / "app/settings.txt").read_bytes() == b"evil\n"
        assert not (siege.root / "readme.md").exists()
    else:
        assert siege.contents() == before
    assert siege.leftovers() == []
    (row,) = siege.process("log").facts["executions"]
    kept = (siege.root / "app/new").exists()
    assert row["status"] == ("completed" if kept else "rolled_back"), (row, done)
    assert siege.process("status").facts["frozen"] is None
    assert siege.process("audit", "verify").exit == 0
