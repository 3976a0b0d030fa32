"""Somebody who makes a mess of the lock files while they are in use: every state by hand, and gone altogether."""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

TOLD = {"execution_id": "exec_x", "plan_id": "plan_x", "acquired_at": "now", "hostname": os.uname().nodename}
"""A holder by hand; without a fence, so that the history knows it from a real one."""


def _bytes(content: bytes) -> Callable[[Path], None]:
    return lambda place: place.write_bytes(content) and None


def _somebody_elses(place: Path) -> None:
    place.write_text(json.dumps(TOLD))
    if os.geteuid() == 0:
        os.chown(place, 65534, 65534)


LOCK_FILES: dict[str, Callable[[Path], object]] = {
    "empty": _bytes(b""),
    "torn": _bytes(b'{"execution_id": "exec_a", "pl'),
    "huge": _bytes(b'{"execution_id": "' + b"x" * 100_000),
    "deep": _bytes(b"[" * 15_000),
    "binary": _bytes(bytes(range(256))),
    "wrong types": _bytes(json.dumps({**TOLD, "execution_id": 7, "pid": "x", "fence": "9"}).encode()),
    "wrong types inside": _bytes(json.dumps({**TOLD, "plan_id": [], "pid": True, "fence": {}}).encode()),
    "foreign host": _bytes(json.dumps({**TOLD, "hostname": "another", "pid": 1}).encode()),
    "recycled pid": _bytes(json.dumps({**TOLD, "pid": os.getpid()}).encode()),
    "somebody else's": _somebody_elses,
    "link": lambda place: place.symlink_to("/etc/passwd"),
    "dangling link": lambda place: place.symlink_to("nowhere"),
    "FIFO": os.mkfifo,
    "directory": lambda place: place.mkdir(),
    "nothing": lambda place: None,
}


def clear(place: Path) -> None:
    """Remove whatever is there."""
    try:
        place.unlink()
    except IsADirectoryError:
        place.rmdir()
    except FileNotFoundError:
        pass


def spoil_files(root: Path, seed: int, stop: mmap.mmap) -> None:
    """Put everything that is not a lock file in the place of ``execution.lock``, the guard and the counter."""
    rng, locks = random.Random(f"saboteur {seed}"), root / ".lonelycat" / "locks"
    while not stop[0]:
        time.sleep(rng.uniform(0, 0.004))
        name = rng.choice(("execution.lock",) * 6 + ("guard", "fence"))
        with contextlib.suppress(FileNotFoundError, FileExistsError, NotADirectoryError):
            clear(locks / name)
            if name == "execution.lock":
                rng.choice(list(LOCK_FILES.values()))(locks / name)
            elif rng.random() < 0.3:
                rng.choice((LOCK_FILES["link"], LOCK_FILES["FIFO"], LOCK_FILES["directory"]))(locks / name)
                time.sleep(0.0005)
                clear(locks / name)
    for name in ("execution.lock", "guard", "fence"):
        clear(locks / name)


def take_away(root: Path, seed: int, stop: mmap.mmap) -> None:
    """Remove the lock directory, or the whole state, or move them away, as a clean-up of the repository does."""
    rng, state = random.Random(f"saboteur {seed}"), root / ".lonelycat"
    number = 0
    while not stop[0]:
        time.sleep(rng.uniform(0, 0.004))
        what = rng.choice((state / "locks", state / "locks", state))
        number += 1
        with contextlib.suppress(FileNotFoundError):
            if rng.random() < 0.5:
                _remove(what)
            else:
                away = root.with_name(f"away.{number}")
                what.rename(away)
                _remove(away)


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:  # somebody made a file in it meanwhile
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise


SABOTEURS: dict[str, Callable[[Path, int, mmap.mmap], None]] = {"files": spoil_files, "directories": take_away}
