"""Runs the ``console`` and ``python`` blocks of a page and compares what they print with what the page says they print.

What a block looks like: ``$ command`` lines, each followed by the output that the reader will see.

Rules of the comparison:
- ``…`` on a line of its own stands for any lines, inside a line for any text of that line.
- Identifiers, digests, times, durations and typed phrases differ in every run: the first time one shows, what the
  run printed in its place is remembered, and from then on the documented one stands for it, in commands too.
- Runs of two or more spaces match any such run, for columns move with the length of a duration.
- ``# exits with N`` after a command is the expected exit code; without it, 0 is expected.
- A line ``> text`` is typed at the question that the command asks on a terminal.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.patience import PATIENCE_SECONDS

_FENCE = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exits with (\d+)$")
_SITUATION = re.compile(r"<!-- situation: ([\w-]+) -->\s*\Z")
_VARIABLE = re.compile(
    r"(?P<id>\b(?:plan|exec|cs|dec|appr|apv)_[0-9a-z]{26}\b)|(?P<digest>\b[0-9a-f]{64}\b)"
    r"|(?P<phrase>approve [0-9a-f]{8}\b)"
    r"|(?P<moment>\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)?)|(?P<time>\b\d+(?:\.\d+)? (?:ms|s)\b)"
    r"|(?P<pid>\bpid \d+\b)|(?P<host>\bon [\w.-]+(?=, since))|(?P<key>[A-Za-z0-9+/]{43}=)|(?P<gap>  +)|(?P<any>…)"
)
_SHAPES = {
    "id": r"[a-z]+_[0-9a-z]{26}",
    "digest": r"[0-9a-f]{64}",
    "phrase": r"approve [0-9a-f]{8}",
    "moment": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)?",
    "time": r"\d+(?:\.\d+)? (?:ms|s)",
    "pid": r"pid \d+",
    "host": r"on [\w.-]+",
    "key": r"[A-Za-z0-9+/]{43}=",
    "gap": "  +",
    "any": r"[^\n]*",
}
_REMEMBERED = frozenset({"id", "digest", "phrase", "key"})
TYPING_SECONDS = PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Command:
    """One documented command.

    Attributes:
        line: where it stands in the page, from 1.
        typed: what is typed at its question, or None.
    """

    text: str
    exit: int
    output: str
    line: int
    typed: str | None


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page, to be run.

    Attributes:
        commands: of a ``console`` block.
        program: the text of a ``python`` block, or None.
        situation: what has to be made before it in a fresh workspace; None goes on where the block before it ended.
    """

    line: int
    commands: tuple[Command, ...] = ()
    program: str | None = None
    situation: str | None = None


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a Markdown page that are to be run, in order."""
    blocks = []
    for match in _FENCE.finditer(page):
        before = _SITUATION.search(page[: match.start()])
        situation = before[1] if before else None
        line = page.count("\n", 0, match.start(2)) + 1
        if match[1] == "python":
            blocks.append(Block(line, program=match[2], situation=situation))
        else:
            blocks.append(Block(line, tuple(_commands(match[2], line)), situation=situation))
    return blocks


def _commands(block: str, first_line: int) -> list[Command]:
    commands: list[Command] = []
    lines = block.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
    assert starts and starts[0] == 0, f"line {first_line}: a console block begins with `$ `"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text, body = lines[start][2:], lines[start + 1 : end]
        while text.endswith("\\"):
            text, body = text[:-1] + body[0].strip(), body[1:]
        expected = _EXIT.search(text)
        typed = next((line[2:] for line in body if line.startswith("> ")), None)
        output = "".join(f"{line}\n" for line in body)
        code = int(expected[1]) if expected else 0
        commands.append(Command(_EXIT.sub("", text), code, output, first_line + start, typed))
    return commands


@dataclass
class Session:
    """One reader going through one page, in one directory.

    Attributes:
        directory: where the commands run.
        home: what the page writes as ``/home/ada``.
        names: documented identifiers and what they stand for in this run.
    """

    directory: Path
    home: Path
    environment: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)

    def run(self, command: Command) -> None:
        """Run ``command`` and hold its output and exit code against the page."""
        text = self._as_run(command.text)
        code, output = self._ask(text, command.typed) if command.typed else self._call(text)
        shown = output.replace(str(self.home), "/home/ada")
        where = f"line {command.line}: $ {command.text}\n--- it printed:\n{shown}"
        assert code == command.exit, f"exit code {code}, the page says {command.exit}\n{where}"
        found = re.fullmatch(self._pattern(command.output), shown)
        assert found, f"the page shows something else\n{where}--- the page says:\n{command.output}"
        self.names |= {name: found[group] for name, group in self._groups.items()}

    def run_program(self, program: str) -> None:
        """Run a ``python`` block as a program of its own; it fails if it raises."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{program}\n--- it printed:\n{done.stdout.decode('utf-8', 'replace')}"

    def _as_run(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text.replace("/home/ada", str(self.home))

    def _call(self, text: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def _ask(self, text: str, typed: str) -> tuple[int, str]:
        """Run ``text`` on a terminal of its own and type ``typed`` at its question."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.directory)
            os.execvpe("bash", ["bash", "-c", text], {**self.environment, "NO_COLOR": "1", "TERM": "dumb"})  # noqa: S606 — on a pty
        heard, said = b"", False
        while select.select([terminal], [], [], TYPING_SECONDS)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            heard += data
            if not data:
                break
            phrase = re.search(rb"type (approve [0-9a-f]{8})", heard)
            if heard.rstrip(b" ").endswith(b"\n>") and not said:
                answer = phrase[1].decode() if phrase and _VARIABLE.fullmatch(typed) else typed
                os.write(terminal, answer.encode() + b"\n")
                said = True
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", heard).replace(b"\r\n", b"\n")
        return os.waitstatus_to_exitcode(status), plain.decode("utf-8", "replace")

    def _pattern(self, documented: str) -> str:
        self._groups: dict[str, str] = {}
        lines = []
        for line in documented.splitlines():
            lines.append(r"(?:[^\n]*\n)*?" if line.strip() == "…" else self._line(line.rstrip()) + r" *\n")
        return "".join(lines)

    def _line(self, line: str) -> str:
        parts, at = [], 0
        for match in _VARIABLE.finditer(line):
            parts.append(re.escape(line[at : match.start()]))
            parts.append(self._variable(match[0], match.lastgroup or ""))
            at = match.end()
        return "".join([*parts, re.escape(line[at:])])

    def _variable(self, text: str, kind: str) -> str:
        if kind not in _REMEMBERED:
            return _SHAPES[kind]
        if text in self.names:
            return re.escape(self.names[text])
        if text in self._groups:
            return f"(?P={self._groups[text]})"
        group = self._groups[text] = f"name{len(self._groups)}"
        return f"(?P<{group}>{_SHAPES[kind]})"
