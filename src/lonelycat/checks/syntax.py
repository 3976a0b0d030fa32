"""Checks that changed files parse: ``python -P -m lonelycat.checks.syntax FILELIST``.

FILELIST holds NUL-separated workspace-relative paths. Below the working directory, each file that exists is examined:
Python compiles (nothing is written), ``.json``, ``.toml`` and ``.yaml`` parse, and no text file holds an unresolved
merge conflict. A deleted file is examined by its absence. One line a problem, then ``N files examined, M problems``.
Exit code 0: no problems, 1: problems, 2: misuse, 5: nothing was examined.

What is not parsed is said: files over the limits, JSON dialects that allow comments (``tsconfig.json``, ``.vscode/``),
and YAML that is a template. Symbolic links are not followed.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from lonelycat.changes.paths import printable

MAX_PARSE_BYTES = 16 * 1024 * 1024
"""A data file above this many bytes is not parsed."""
MAX_PYTHON_BYTES = 4 * 1024 * 1024
"""A Python file above this many bytes is not compiled: its syntax tree would take a hundred times as much memory."""
MAX_YAML_DEPTH = 1000
"""Levels that YAML may be nested; its parser looks at each of them at each token."""
_TEXT_PROBE = 8192
_MAX_LINE = 64 * 1024
_NOTHING_EXAMINED = 5
_COMMENTED_JSON = ("tsconfig", "jsconfig", "devcontainer", ".eslintrc", ".jshintrc", "api-extractor")

Problem = tuple[int, str]


class Unparsed(Exception):
    """Why a file is deliberately not parsed."""


def main(arguments: list[str]) -> int:
    """Examine the files listed in ``arguments[0]``, print what is wrong, return the exit code."""
    if len(arguments) != 1:
        _say("usage: python -P -m lonelycat.checks.syntax FILELIST")
        return 2
    warnings.simplefilter("ignore")
    root = os.fsencode(Path.cwd())
    examined = problems = deleted = 0
    for raw in Path(arguments[0]).read_bytes().split(b"\0"):
        if not raw:
            continue
        shown = printable(os.fsdecode(raw))
        try:
            if not os.path.lexists(os.path.join(root, raw)):  # noqa: PTH118 - pathlib takes no bytes
                deleted += 1
            for line, message in examine(root, raw):
                problems += 1
                _say(f"{shown}:{line}: {message}")
        except Unparsed as reason:
            _say(f"{shown}: not parsed: {reason}")
        examined += 1
    note = f" ({deleted} deleted)" if deleted else ""
    _say(f"{examined} files examined{note}, {problems} problems")
    return 1 if problems else 0 if examined else _NOTHING_EXAMINED


def examine(root: bytes, raw: bytes) -> Iterator[Problem]:
    """Yield each problem of the file ``raw`` below ``root`` as line and message.

    Raises:
        Unparsed: after the other checks, when the file is deliberately not parsed.
    """
    if raw.startswith(b"/") or b".." in raw.split(b"/"):
        yield 0, "is not a path below the workspace"
        return
    place = os.path.join(root, raw)  # noqa: PTH118 - pathlib takes no bytes
    parent = os.path.realpath(os.path.dirname(place))  # noqa: PTH120 - as above
    if parent != root and not parent.startswith(root.rstrip(b"/") + b"/"):
        yield 0, "lies behind a symbolic link that leads out of the workspace"
        return
    try:
        facts = os.lstat(place)
        if not stat.S_ISREG(facts.st_mode):
            return
        conflict = _conflict_line(place)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield 0, f"cannot be read: {error.strerror}"
        return
    if conflict:
        yield conflict, "unresolved merge conflict"
        return
    yield from _parsed(place, os.fsdecode(raw), facts.st_size)


def _conflict_line(place: bytes) -> int:
    """Return the line of the first conflict marker of a complete conflict in a text file, or 0."""
    begun = middle = 0
    with open(place, "rb") as file:  # noqa: PTH123 - pathlib takes no bytes
        if b"\0" in file.read(_TEXT_PROBE):
            return 0
        file.seek(0)
        number, at_start = 0, True
        while line := file.readline(_MAX_LINE):
            if at_start:
                number += 1
                if line.startswith(b"<<<<<<< "):
                    begun, middle = number, 0
                elif begun and line.rstrip(b"\r\n") == b"=======":
                    middle = number
                elif middle and line.startswith(b">>>>>>> "):
                    return begun
            at_start = line.endswith(b"\n")
    return 0


def _parsed(place: bytes, path: str, size: int) -> Iterator[Problem]:
    suffix = path.rpartition("/")[2].rpartition(".")[2].lower() if "." in path else ""
    parser = _PARSERS.get(suffix)
    if parser is None or "{{" in path:
        return
    limit = MAX_PYTHON_BYTES if parser is _python else MAX_PARSE_BYTES
    if size > limit:
        raise Unparsed(f"{size} bytes is over the limit of {limit}")
    with open(place, "rb") as file:  # noqa: PTH123 - pathlib takes no bytes
        data = file.read(limit + 1)
    try:
        problem = parser(data, path)
    except RecursionError:
        problem = (0, "is nested too deeply")
    except MemoryError:
        problem = (0, "is too complex to parse")
    if problem is not None:
        yield problem


def _python(data: bytes, path: str) -> Problem | None:
    try:
        compile(data, "<changed file>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.lineno or 0, f"Python: {error.msg}"
    except ValueError as error:
        return 0, f"Python: {error}"
    return None


def _json(data: bytes, path: str) -> Problem | None:
    import json

    name = path.rpartition("/")[2].lower()
    if name.startswith(_COMMENTED_JSON) or "/.vscode/" in f"/{path}".lower():
        raise Unparsed("this kind of JSON may hold comments")
    try:
        json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        return error.lineno, f"JSON: {error.msg}"
    except ValueError as error:
        return 0, f"JSON: {error}"
    return None


def _toml(data: bytes, path: str) -> Problem | None:
    import tomllib

    try:
        tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        return 0, f"TOML: {error}"
    return None


def _yaml(data: bytes, path: str) -> Problem | None:
    """Parse every document as events: no tag is resolved, no alias expanded, nothing recursed into."""
    import yaml

    anchors: set[str] = set()
    depth = 0
    try:
        for event in yaml.parse(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.DocumentStartEvent):
                anchors.clear()
            elif isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
                line = event.start_mark.line + 1 if event.start_mark else 0
                return line, f"YAML: undefined alias {event.anchor!r}"
            elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                anchors.add(event.anchor)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_YAML_DEPTH:
                    line = event.start_mark.line + 1 if event.start_mark else 0
                    return line, f"YAML: nested over {MAX_YAML_DEPTH} levels deep"
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except (yaml.YAMLError, UnicodeError) as error:
        if b"{{" in data or b"{%" in data:
            raise Unparsed("it is a template of YAML") from error
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        if isinstance(error, yaml.MarkedYAMLError) and mark is not None:
            return mark.line + 1, f"YAML: {error.problem}"
        return 0, f"YAML: {error}"
    return None


_PARSERS: dict[str, Callable[[bytes, str], Problem | None]] = {
    "py": _python,
    "pyi": _python,
    "json": _json,
    "toml": _toml,
    "yaml": _yaml,
    "yml": _yaml,
}


def _say(line: str) -> None:
    sys.stdout.write(line.replace("\n", " ").encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(Path.cwd()))]
    raise SystemExit(main(sys.argv[1:]))
