"""The proof can fail: locks as they are often made, and this one with a part missing, are each found out.

Each text to be replaced stands exactly once in its file, so that a mutation cannot rot without being noticed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.lock.test_hammer import hammer

import lonelycat

LOCK = "execution_lock.py"
FENCE = "fence.py"
RECORDS = 3_000


class Broken(NamedTuple):
    """Texts of a file and what takes their places; in which mode it shows; what the judge says of it."""

    file: str
    texts: dict[str, str]
    mode: str
    found: str


NO_LOCK_ON_THE_DIRECTORY = {"                self._acquire(root, root, deadline)\n": ""}
NO_WAITING_FOR_CHILDREN = {"                self._acquire(root, children, deadline, shared_is_held=True)\n": ""}
LEAVING = "                with suppress(OSError, StateError):  # it only tells; who comes next replaces it\n"
BY_PROCESS_NUMBER = """
    place = os.readlink(f"/proc/self/fd/{fd}")
    if not os.path.isdir(place):
        return True
    if kind != fcntl.LOCK_EX:
        return False
    try:
        made = os.open(place + ".excl", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(made, b"%d" % os.getpid())
        os.close(made)
        return True
    except FileExistsError:
        with suppress(FileNotFoundError, ValueError):
            try:
                os.kill(int(Path(place + ".excl").read_bytes()), 0)
            except ProcessLookupError:
                os.unlink(place + ".excl")
        return False
"""
BROKEN = {
    "a guard alone, unlinked when let go": Broken(
        LOCK,
        {
            **NO_LOCK_ON_THE_DIRECTORY,
            **NO_WAITING_FOR_CHILDREN,
            LEAVING: LEAVING + "                    os.unlink(GUARD, dir_fd=directory)\n",
        },
        "deaths",
        "holds",
    ),
    "a file made exclusively, with the process asked for": Broken(
        LOCK,
        {
            "def _try_flock(fd: int, kind: int) -> bool:\n": "def _try_flock(fd: int, kind: int) -> bool:"
            + BY_PROCESS_NUMBER,
            LEAVING: LEAVING + '                    os.unlink(str(self._root) + ".excl")\n',
        },
        "deaths",
        "holds",
    ),
    "a guard alone, when its directory is taken away": Broken(LOCK, NO_LOCK_ON_THE_DIRECTORY, "taken-away", "holds"),
    "orphans are not waited for": Broken(LOCK, NO_WAITING_FOR_CHILDREN, "orphans", "Kind.CHILD"),
    "orphans are taken for somebody who looks": Broken(
        LOCK,
        {"        while not _try_flock(children, fcntl.LOCK_EX):": "        while False:"},
        "orphans",
        "nobody seen",
    ),
    "the fence is not raised": Broken(
        FENCE,
        {"(_DIGITS, counted + 1)": "(_DIGITS, counted)", "    return counted + 1": "    return counted"},
        "deaths",
        "did not grow",
    ),
    "a lost fence begins at one": Broken(
        FENCE,
        {"            counted = max(int(clock.now().timestamp() * 1_000_000), ": "            counted = max(0, "},
        "taken-away",
        "did not grow",
    ),
    "who looks keeps others out": Broken(
        LOCK,
        {"held = not _try_flock(root, fcntl.LOCK_SH)": "held = not _try_flock(root, fcntl.LOCK_EX)"},
        "two-alone",
        "nobody in the way",
    ),
    "who looks is taken for a holder": Broken(LOCK, {"looks < _LOOKS and ": "looks < 0 and "}, "two-alone", "nobody"),
}


OFTEN = ("a guard alone, unlinked when let go", "orphans are not waited for", "the fence is not raised")
"""Found out within a second or two."""


def _find_out(name: str, base: Path, rounds: int) -> None:
    broken = BROKEN[name]
    source = base / "src"
    shutil.copytree(Path(lonelycat.__file__).parent, source / "lonelycat")
    file = source / "lonelycat" / "executor" / broken.file
    text = file.read_text(encoding="utf-8")
    for old, new in broken.texts.items():
        assert text.count(old) == 1, f"{broken.file} no longer holds this text once: {old}"
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    for seed in range(rounds):
        found = hammer(base / str(seed), broken.mode, seed, RECORDS, source)
        if any(broken.found in violation for violation in found.violations):
            return
    raise AssertionError(f"{rounds} rounds of {RECORDS} records did not show it")


@pytest.mark.parametrize("name", OFTEN)
def test_a_broken_lock_is_found_out(name: str, tmp_path: Path) -> None:
    _find_out(name, tmp_path, 20)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", sorted(set(BROKEN) - set(OFTEN)))
def test_long_a_broken_lock_is_found_out(name: str, tmp_path: Path) -> None:
    _find_out(name, tmp_path, 200)
