"""A signal becomes one interruption, wherever it arrives, and reaches a command that waits for a person."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import operator
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import until

from lonelycat.interfaces.cli.interrupts import one_interrupt, wait_for_input


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_later_ones_wait(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    undone = False
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)
            undone = True
    assert undone
    assert "please wait" in capfd.readouterr().err
    assert signal.getsignal(number) is before


def test_the_exit_code_holds_wherever_the_signal_arrived(tmp_path: Path) -> None:
    module = tmp_path / "interrupted.py"
    module.write_text(
        "import os, signal, sys\n"
        "from lonelycat.interfaces.cli.interrupts import one_interrupt\n"
        "try:\n"
        "    with one_interrupt():\n"
        "        exec('os.kill(os.getpid(), signal.SIGTERM); os.getpid()')\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    assert subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path).returncode == 130


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with one_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


class Finalised:
    """Interrupted while it is finalised, where an exception goes nowhere."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_interruption_that_a_finaliser_drops_comes_again() -> None:
    dropped = False
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        Finalised()
        dropped = True
        time.sleep(20)
    assert dropped


def test_one_that_comes_again_before_its_drop_was_dealt_with_comes_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the main thread may stand still in the hook that is told of it for longer than it takes."""
    start, slept = threading.Timer.start, []

    def start_and_stand_still(timer: threading.Timer) -> None:
        start(timer)
        if not slept:
            slept.append(timer)
            timer.join()

    monkeypatch.setattr(threading.Timer, "start", start_and_stand_still)
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        Finalised()
        time.sleep(20)
    assert slept


def test_one_that_comes_while_another_error_of_a_finaliser_is_told_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    def tell(unraisable: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(sys, "unraisablehook", tell)
    undone = False
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        try:
            Broken()
            time.sleep(20)
        finally:
            until(lambda: "please wait" in capfd.readouterr().err, "the second signal to be answered")
            undone = True
    assert undone


def test_other_errors_of_a_finaliser_are_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_value))
    before = sys.unraisablehook
    with one_interrupt():
        Broken()
    assert [str(each) for each in told] == ["broken"]
    assert sys.unraisablehook is before


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Its reading and its writing end."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def later(pipe: tuple[int, int]) -> Iterator[int]:
    """What can be read after half a minute: what waits for it does not wait for ever."""
    reader, writer = pipe
    timer = threading.Timer(30.0, os.write, [writer, b"x"])
    timer.start()
    yield reader
    timer.cancel()
    timer.join()


def test_a_signal_right_before_the_wait_is_not_missed(later: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It arrives where the interpreter has no look at signals any more before the system call."""
    real, kill = select.select, ctypes.CDLL(None).kill

    def racing(*arguments: Any) -> Any:
        calls = [(kill, os.getpid(), int(signal.SIGINT)), (real, *arguments)]
        return list(itertools.starmap(operator.call, calls))[1]

    monkeypatch.setattr(select, "select", racing)
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        wait_for_input(later)
    assert real([later], [], [], 0)[0] == [], "the signal was noticed only with the input"


def test_nobody_is_waited_for_after_an_interruption_that_was_lost(later: int) -> None:
    """Whoever swallowed it: what waits for a person now would wait for ever, as later signals only say to wait."""
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        wait_for_input(later)
    assert select.select([later], [], [], 0)[0] == [], "it was noticed only with the input"


def test_a_signal_that_wakes_nobody_is_seen_while_waiting(later: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda *_, **__: -1)
    taken = threading.Thread(target=_kill_this_thread)
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        taken.start()
        wait_for_input(later)
    taken.join()
    assert select.select([later], [], [], 0)[0] == [], "it was noticed only with the input"


def _kill_this_thread() -> None:
    """Take a signal in a thread of its own, so that no system call of the main thread is interrupted."""
    time.sleep(0.1)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def test_the_wait_goes_on_after_a_signal_that_interrupts_nothing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    heard: list[int] = []
    typed: list[bool] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: heard.append(number))

    def signal_and_type() -> None:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: heard, "the signal to be heard")
        time.sleep(1)
        typed.append(True)
        os.write(writer, b"x")

    sender = threading.Thread(target=signal_and_type)
    sender.start()
    try:
        wait_for_input(reader)
        assert typed, "the wait ended with the signal"
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]
    assert os.read(reader, 1) == b"x"
    assert signal.set_wakeup_fd(-1) == -1
