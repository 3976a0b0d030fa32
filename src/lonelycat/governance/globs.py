"""The grammar of globs over workspace-relative paths, and what a pattern means as a regular expression.

Grammar, a subset of gitignore's so that a reader can guess it:

- ``*`` any run of characters but ``/``; ``?`` one of them; ``[a-z]``, ``[!a-z]`` one of a class; ``{a,b}`` either;
  ``**`` as a whole component any number of components.
- A pattern **without** ``/`` is compared with the file's own name, at any depth: ``*.pem``, ``.env``.
- A pattern with ``/`` is anchored at the root: ``src/**``, ``/Makefile``. ``**/name`` is not anchored.
- A trailing ``/`` means everything below a directory: ``node_modules/`` at any depth, ``docs/build/`` at the root.
- ``!pattern`` takes back what an earlier pattern of the list matched; the last pattern that matches decides.

Invariant: what is translated backtracks over no star but a component's last, so that matching is linear in the path.
"""

from __future__ import annotations

import re

from lonelycat.changes.paths import fold
from lonelycat.errors import PolicyError

MAX_ALTERNATIVES = 64
"""How many plain patterns one pattern's braces may expand to."""
ANY_DEPTH = r"(?:[^/]++/)*"
"""Any number of components, each with its slash."""


def check_glob(glob: str) -> None:
    """Raise what compiling ``glob`` raises, without building a matcher.

    Raises:
        PolicyError: ``POLICY_BAD_GLOB``.
    """
    for written in expand_braces(glob.removeprefix("!")):
        for form in {written, fold_glob(written)}:  # [Z-a] means something, and its folded form [z-a] does not
            pattern = normalise(form)
            if "[" in pattern:
                translate(pattern)  # classes are the only thing that can be wrong beyond this


def normalise(pattern: str) -> str:
    """Return the anchored form of a brace-free pattern, in which a floating one starts with ``**/``.

    Raises:
        PolicyError: ``POLICY_BAD_GLOB``.
    """
    floats = "/" not in pattern.removesuffix("/") and pattern != "**"
    body = pattern.removeprefix("/")
    if body.endswith("/"):
        body += "**"
    components = body.split("/")
    for component in components:
        if component in ("", ".", ".."):
            raise bad_glob(pattern, f"has the component {component!r}")
        if "**" in component and component != "**":
            raise bad_glob(pattern, "has '**' within a component")
    result: list[str] = ["**"] if floats else []
    for component in components:
        if component != "**" or not result or result[-1] != "**":
            result.append(component)
    return "/".join(result)


def bad_glob(glob: str, why: str) -> PolicyError:
    """Return the error for a pattern outside the grammar."""
    return PolicyError(
        "POLICY_BAD_GLOB",
        f"glob {glob[:200]!a} {why}",
        "Globs know *, ?, [abc], {a,b}, ** as a whole component, a trailing / and a leading !; see the reference.",
    )


def expand_braces(glob: str) -> list[str]:
    """Return the brace-free patterns that ``glob`` stands for, at most :data:`MAX_ALTERNATIVES`.

    Raises:
        PolicyError: ``POLICY_BAD_GLOB`` for characters no path can have, unbalanced braces or too many alternatives.
    """
    if not glob.isprintable() or "\\" in glob or "!" in glob[:1] or not glob:
        raise bad_glob(glob, "is empty, or has a control character, a backslash or a second '!'")
    done: list[str] = []
    waiting = [glob]
    while waiting:
        pattern = waiting.pop()
        close = pattern.find("}")
        opening = pattern.rfind("{", 0, close) if close != -1 else pattern.find("{")
        if close == -1 and opening == -1:
            done.append(pattern)
        elif close == -1 or opening == -1:
            raise bad_glob(glob, "has an unbalanced brace")
        else:
            head, tail = pattern[:opening], pattern[close + 1 :]
            waiting.extend(head + option + tail for option in reversed(pattern[opening + 1 : close].split(",")))
        if len(done) + len(waiting) > MAX_ALTERNATIVES:
            raise bad_glob(glob, f"stands for over {MAX_ALTERNATIVES} patterns")
    return list(dict.fromkeys(done))


def fold_glob(pattern: str) -> str:
    """Fold the literal text of a pattern and leave its operators alone."""
    if pattern.isascii():
        return pattern.lower()
    return "".join(part if index % 2 else fold(part) for index, part in enumerate(re.split(r"([*?\[\]!/-])", pattern)))


def translate(pattern: str) -> str:
    """Return the regular expression of a normalised pattern, for ``fullmatch``.

    After each ``**`` the shortest way to the next fixed run of components is also the best one, so it is atomic; the
    last run is anchored at the end by the length of the pattern. The same holds for ``*`` within a component.
    """
    runs: list[list[str]] = [[]]
    for component in pattern.split("/"):
        if component == "**":
            runs.append([])
        else:
            runs[-1].append(_component(component))
    out = "/".join(runs[0])
    for index, run in enumerate(runs[1:], start=1):
        last = index == len(runs) - 1
        lead = "/" if index == 1 and runs[0] else ""
        if last and not run:
            out += lead + ".+"
        elif last:
            out += lead + ANY_DEPTH + "/".join(run)
        else:
            out += lead + "(?>(?:[^/]++/)*?" + "/".join(run) + "/)"
    return out


def _component(component: str) -> str:
    """Return the regular expression of one component, which must match all of it."""
    parts: list[str] = [""]
    index = 0
    while index < len(component):
        char = component[index]
        index += 1
        if char == "*":
            parts.append("")
        elif char == "?":
            parts[-1] += "[^/]"
        elif char == "[":
            end = component.find("]", index + (2 if component[index : index + 1] in ("!", "^") else 1))
            if end == -1:
                raise bad_glob(component, "has an unclosed '['")
            parts[-1] += _class(component[index:end], component)
            index = end + 1
        else:
            parts[-1] += re.escape(char)
    if len(parts) == 1:
        return parts[0]
    middle = "".join(f"(?>[^/]*?{part})" for part in parts[1:-1] if part)
    return parts[0] + middle + "[^/]*" + parts[-1] + "(?![^/])"


def _class(body: str, glob: str) -> str:
    negated = body[0] in "!^"
    parts: list[str] = []
    index = int(negated)
    while index < len(body):
        is_range = index + 2 < len(body) and body[index + 1] == "-"
        parts.append(f"{_member(body[index])}-{_member(body[index + 2])}" if is_range else _member(body[index]))
        index += 3 if is_range else 1
    expression = f"[^/{''.join(parts)}]" if negated else f"(?!/)[{''.join(parts)}]"
    try:
        re.compile(expression)
    except re.error as error:
        raise bad_glob(glob, f"has a bad character class: {error}") from error
    return expression


def _member(char: str) -> str:
    """Return one character of a class so that none is an operator there, today's or one to come."""
    return char if char.isalnum() or char == "_" else f"\\{char}"
