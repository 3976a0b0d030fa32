"""Where a command writes for people: colours and wrapping on a terminal, plain lines anywhere else.

Invariants:
- Every text passes :func:`neutral` here, whoever wrote it; callers cannot forget it. Markup is never parsed.
- So does every line that is no source text pass :func:`masked`: a credential in a name, of a file say, is not told.
- Writing never fails upwards: a reader that went away must not undo a change (see :class:`QuietStream`).
- rich is imported for terminals only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, TextIO, cast

from lonelycat.governance.secrets import masked
from lonelycat.interfaces.cli.neutral import neutral

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.status import Status

Part = str | tuple[str, str]
"""A text, or a text with one of the :data:`STYLES`."""

STYLES: dict[str, str] = {
    "plain": "",
    "good": "bold green",
    "bad": "bold red",
    "warn": "bold yellow",
    "title": "bold",
    "dim": "dim",
    "id": "cyan",
    "path": "bold",
    "add": "green",
    "del": "red",
    "hunk": "cyan",
}


class QuietStream:
    """A text stream that keeps its first failure to itself and is silent from then on.

    Attributes:
        failure: the first error of writing, or None.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write ``text``; pretend that it was written after a failure."""
        if self.failure is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self.failure = error
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Write ``data`` as it is."""
        self.flush()
        if self.failure is None:
            try:
                self._stream.buffer.write(data)
            except OSError as error:
                self.failure = error
        self.flush()

    def flush(self) -> None:
        """Push everything out."""
        if self.failure is None:
            try:
                self._stream.flush()
            except OSError as error:
                self.failure = error

    def isatty(self) -> bool:
        """Tell whether a person may be looking."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor, for the terminal's size."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        """The encoding of the stream."""
        return self._stream.encoding


class Screen:
    """One output stream for people.

    Args:
        stream: where to write.
        width: columns to wrap at on a terminal; the terminal's own by default.
    """

    def __init__(self, stream: TextIO, *, width: int | None = None) -> None:
        self.stream = QuietStream(stream)
        self.terminal = stream.isatty()
        self._console: Console | None = None
        self._status: Status | None = None
        if self.terminal:
            from rich.console import Console

            self._console = Console(
                file=cast(IO[str], self.stream),
                markup=False,
                highlight=False,
                emoji=False,
                width=width,
                force_terminal=True,
            )

    @property
    def height(self) -> int:
        """How many lines the terminal shows; 0 where there is none."""
        return 0 if self._console is None else self._console.height

    def line(self, *parts: Part, indent: int = 0, keep_tabs: bool = False) -> None:
        """Write one line made of ``parts``; on a terminal it wraps, with continuation lines under its start.

        Args:
            keep_tabs: it is source text, which is shown as it is but for what would not be harmless.
        """
        styled = [(part, "plain") if isinstance(part, str) else part for part in parts]
        if not keep_tabs:
            styled = [(masked(text), style) for text, style in styled]
        clean = [(neutral(text, keep_tabs=keep_tabs), STYLES[style]) for text, style in styled]
        if self._console is None:
            text = "".join(text for text, _ in clean)
            self.stream.write((" " * indent + text).rstrip() + "\n")
        else:
            self._console.print(_renderable(clean, indent), overflow="fold")

    def lines(self, texts: Iterable[str], *, indent: int = 0) -> None:
        """Write each of ``texts`` on a line of its own."""
        for text in texts:
            self.line(text, indent=indent)

    def blank(self) -> None:
        """Write an empty line."""
        self.line("")

    def prompt(self, text: str) -> None:
        """Write ``text`` and leave the cursor behind it."""
        self.stream.write(neutral(masked(text)))
        self.stream.flush()

    def begin(self, text: str) -> None:
        """Show on a terminal that ``text`` is under way, until :meth:`end`; elsewhere push out what was said so far.

        Who follows a pipe would otherwise read it once all is over, and it may ask for something meanwhile.
        """
        self.end()
        if self._console is None:
            self.stream.flush()
        else:
            from rich.text import Text

            self._status = self._console.status(Text(neutral(masked(text))), spinner="dots", refresh_per_second=10)
            self._status.start()

    def end(self) -> None:
        """Take away what :meth:`begin` showed."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def _renderable(parts: list[tuple[str, str]], indent: int) -> RenderableType:
    from rich.padding import Padding
    from rich.text import Text

    text = Text.assemble(*parts)
    return Padding(text, (0, 0, 0, indent)) if indent else text
