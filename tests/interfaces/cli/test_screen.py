"""What a screen writes: plain when piped, coloured and wrapped on a terminal, harmless always."""

import errno
import io
import os
import pty

import pytest

from lonelycat.interfaces.cli.screen import QuietStream, Screen


class FakeTerminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A stream whose reader went away after a while."""

    def __init__(self, survives: int) -> None:
        super().__init__()
        self.left = survives

    def write(self, text: str) -> int:
        if self.left <= 0:
            raise OSError(errno.EPIPE, "Broken pipe")
        self.left -= 1
        return super().write(text)


@pytest.fixture(autouse=True)
def _usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_piped_output_is_plain() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.line(("good ", "good"), "\x1b[31m[red]x[/red]", indent=2)
    screen.begin("running")
    screen.end()
    assert stream.getvalue() == "  good \\x1b[31m[red]x[/red]\n"


def test_whoever_reads_a_pipe_sees_what_was_said_before_something_takes_long() -> None:
    """Such as what to type for a change that waits to be confirmed, and is undone if nobody does."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe, open(writing, "w") as stream:
        screen = Screen(stream)
        screen.line("waits for a person: lonelycat confirm exec_1 --by NAME")
        screen.begin("confirm …  60 s left")
        os.set_blocking(reading, False)
        assert pipe.read() == b"waits for a person: lonelycat confirm exec_1 --by NAME\n"


def test_terminal_output_has_only_its_own_colours() -> None:
    stream = FakeTerminal()
    Screen(stream, width=80).line(("bad", "bad"), " \x1b[5mblink [red]x[/red] :cat: \x07")
    text = stream.getvalue()
    assert "\x1b[1;31mbad\x1b[0m" in text
    assert "\x1b[5m" not in text
    assert "\x07" not in text
    assert "[red]x[/red] :cat: \\x07" in text


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = FakeTerminal()
    Screen(stream, width=80).line(("bad", "bad"), ("add", "add"))
    assert "\x1b[31m" not in stream.getvalue()
    assert ";31m" not in stream.getvalue()


def test_terminal_wraps_under_the_start_of_the_line() -> None:
    stream = FakeTerminal()
    Screen(stream, width=40).line("word " * 20, indent=4)
    lines = stream.getvalue().rstrip("\n").split("\n")
    assert len(lines) > 2
    assert all(line.startswith("    word") and len(line.rstrip()) <= 40 for line in lines)


def test_an_endless_word_is_folded_not_lost() -> None:
    stream = FakeTerminal()
    Screen(stream, width=40).line("x" * 100)
    assert stream.getvalue().count("x") == 100


def test_a_reader_that_goes_away_is_no_error() -> None:
    stream = Broken(survives=1)
    screen = Screen(stream)
    for _ in range(5):
        screen.line("text")
    assert stream.getvalue() == "text\n"
    assert isinstance(screen.stream.failure, OSError)


def test_a_terminal_that_goes_away_while_a_step_runs_is_no_error() -> None:
    stream = Broken(survives=3)
    stream.isatty = lambda: True  # type: ignore[method-assign]
    screen = Screen(stream, width=80)
    screen.begin("step")
    screen.end()
    screen.line("after")
    screen.line("after")
    assert screen.stream.failure is not None


def test_bytes_go_out_as_they_are() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        quiet = QuietStream(stream)
        quiet.write("head\n")
        quiet.write_bytes(b"\xff\x00\x1b")
    with os.fdopen(reader, "rb") as back:
        assert back.read() == b"head\n\xff\x00\x1b"


def test_height_is_that_of_the_terminal() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0), os.fdopen(follower, "w") as stream:
        assert Screen(stream).height > 0
    assert Screen(io.StringIO()).height == 0
