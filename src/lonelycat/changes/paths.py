"""Lexical rules for workspace-relative paths; the kernel checks again at open time.

Invariants:
- A path that passed :func:`check_path` is relative, POSIX, normal, has no component that any file system or
  terminal would show or resolve as another one, and stays below the root as text.
- Names whose bytes are not UTF-8 are carried as Python's ``surrogateescape`` text and written to JSON in git's
  C-style quotes (:func:`to_wire`), so that they survive exactly.
- :func:`is_protected` holds under every policy: ``.git`` and ``.lonelycat`` at any depth, in any spelling.

The classes come from git's ``verify_path``, ``is_ntfs_dotgit`` and ``is_hfs_dotgit`` and from FACTS of past escapes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache

from lonelycat.errors import PathError
from lonelycat.patterns import late_pattern

MAX_COMPONENT_BYTES = 255
MAX_PATH_BYTES = 4000

_DEVICE_NAMES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{stem}{digit}" for stem in ("com", "lpt") for digit in "123456789¹²³"}
)
_CONTROL = late_pattern(r"[\x00-\x1f\x7f-\x9f]")
_BIDIRECTIONAL = late_pattern("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = late_pattern(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2028\u2029\u2060-\u2065\u206a-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_DRIVE = late_pattern(r"[A-Za-z]:")
_PLAIN = late_pattern(r"(?:[A-Za-z0-9_\-+@%=,][A-Za-z0-9_\-+@%=,.]*[A-Za-z0-9_\-+@%=,]|[A-Za-z0-9_])", re.ASCII)
_SHORT_NAME = late_pattern(r"(?:git|lonely|lonelyc?|lo[0-9a-f]{4})~[0-9]+")
_PROTECTED_NAMES = frozenset({".git", ".lonelycat"})


def _refuse(code: str, path: str, why: str, hint: str) -> PathError:
    shown = printable(path)
    return PathError(code, f"path {shown}: {why}", hint, details={"path": shown})


def printable(path: str) -> str:
    """Return ``path`` as it may be shown: git's quoting where a terminal could be misled by the raw text."""
    if path.isascii() and path.isprintable() and not path.startswith('"'):
        return path
    if path.isprintable() and not _BIDIRECTIONAL.search(path) and not _INVISIBLE.search(path):
        return to_wire(path)
    return _quote(path, keep_printable=False)


@lru_cache(maxsize=8192)
def check_path(path: str) -> str:
    """Return ``path`` unchanged if it is a lexically safe workspace-relative path.

    Raises:
        PathError: with a ``PATH_…`` code that names the class of the problem.
    """
    if not path:
        raise _refuse("PATH_EMPTY", path, "is empty", "Name a file below the workspace.")
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise _refuse(
            "PATH_LONE_SURROGATE", ascii(path), "contains a lone surrogate", "Write the name as UTF-8 text."
        ) from error
    if path.startswith("/"):
        raise _refuse("PATH_ABSOLUTE", path, "is absolute", "Use a path relative to the workspace root.")
    if _DRIVE.match(path):
        raise _refuse("PATH_DRIVE", path, "starts with a drive letter", "Use a relative path.")
    if len(raw) > MAX_PATH_BYTES:
        raise _refuse("PATH_TOO_LONG", path[:80] + "…", f"is over {MAX_PATH_BYTES} bytes", "Shorten it.")
    for component in path.split("/"):
        _check_component(path, component)
    return path


def forget_paths() -> None:
    """Let go of which paths were found to be safe; they are looked at again when they are asked for again."""
    check_path.cache_clear()


def _check_component(path: str, component: str) -> None:
    if _PLAIN.fullmatch(component) and len(component) <= 64 and component[:3].lower() not in _DEVICE_PREFIXES:
        return
    if component == "..":
        raise _refuse("PATH_TRAVERSAL", path, "contains '..'", "Name the file directly, without '..'.")
    if component in ("", "."):
        raise _refuse(
            "PATH_NOT_NORMAL", path, "contains an empty or '.' component", "Remove '//', './' and a trailing '/'."
        )
    if _CONTROL.search(component):
        raise _refuse("PATH_CONTROL_CHARACTER", path, "contains a control character", "Rename the file.")
    if "\\" in component:
        raise _refuse("PATH_BACKSLASH", path, "contains a backslash", "Use '/' between components.")
    if ":" in component:
        raise _refuse("PATH_STREAM", path, "contains ':', a stream or drive on some systems", "Rename the file.")
    if _BIDIRECTIONAL.search(component):
        raise _refuse("PATH_BIDIRECTIONAL", path, "contains a bidirectional control character", "Remove the character.")
    if _INVISIBLE.search(component):
        raise _refuse("PATH_INVISIBLE", path, "contains an invisible character", "Remove the character.")
    if component.endswith((".", " ")):
        raise _refuse(
            "PATH_TRAILING_DOT_OR_SPACE",
            path,
            "has a component that ends in a dot or space",
            "Some systems drop it and open another file; rename it.",
        )
    if component.split(".")[0].rstrip(" ").lower() in _DEVICE_NAMES:
        raise _refuse("PATH_DEVICE_NAME", path, "is a device name on some systems", "Rename the file.")
    if len(component.encode("utf-8", "surrogateescape")) > MAX_COMPONENT_BYTES:
        raise _refuse(
            "PATH_TOO_LONG", path[:80] + "…", f"has a component over {MAX_COMPONENT_BYTES} bytes", "Shorten it."
        )


_DEVICE_PREFIXES = frozenset(name[:3] for name in _DEVICE_NAMES)


def fold(path: str) -> str:
    """Return the form in which two names that some file system takes for one compare equal (NFKC, case-folded)."""
    if path.isascii():
        lower = path.lower()
        return path if lower == path else lower  # of tens of thousands, none is in memory twice
    kept = _INVISIBLE.sub("", _BIDIRECTIONAL.sub("", path))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())


def is_protected(path: str) -> bool:
    """Tell whether ``path`` is, or lies below, a ``.git`` or ``.lonelycat`` in any spelling."""
    folded = fold(path)
    if ".git" not in folded and ".lonelycat" not in folded and "~" not in folded:
        return False
    for component in folded.split("/"):
        name = component.split(":")[0].rstrip(". ")
        if name in _PROTECTED_NAMES or _SHORT_NAME.fullmatch(name):
            return True
    return False


def check_names(resulting: Iterable[str]) -> None:
    """Check the names that will exist after a change set against each other.

    Raises:
        PathError: ``PATH_TWIN`` for two names that some file system takes for one; ``PATH_PREFIX`` for a name that
            would have to be a file and a directory at once.
    """
    seen: dict[str, str] = {}
    for path in resulting:
        twin = seen.setdefault(fold(path), path)
        if twin != path:
            raise _refuse("PATH_TWIN", path, f"and {printable(twin)} are one name on some systems", "Keep one of them.")
    for directory in _directories(seen.values()):
        file = seen.get(fold(directory))
        if file is not None:
            below = next(path for path in seen.values() if path.startswith(directory + "/"))
            raise _refuse(
                "PATH_PREFIX",
                below,
                f"needs {printable(file)} as a directory, which is a file in the same change set",
                "Delete or rename one of the two.",
            )


def _directories(paths: Iterable[str]) -> set[str]:
    """Return every directory above any of ``paths``, without the root; each is looked at once."""
    found: set[str] = set()
    for path in paths:
        above = path.rpartition("/")[0]
        while above and above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found


_ESCAPES = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", '"': '"', "\\": "\\"}
_UNESCAPES = {letter: ord(char) for char, letter in _ESCAPES.items()}


def _quote(path: str, *, keep_printable: bool = True) -> str:
    parts = []
    for char in path:
        if char in _ESCAPES:
            parts.append("\\" + _ESCAPES[char])
        elif (char.isascii() and char.isprintable()) or (
            keep_printable and char.isprintable() and not "\udc80" <= char <= "\udcff"
        ):
            parts.append(char)
        else:
            parts.extend(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))
    return '"' + "".join(parts) + '"'


def to_wire(path: str) -> str:
    """Return ``path`` as JSON carries it: itself, or C-quoted where it is not UTF-8 or starts with a quote."""
    if not path.isascii():
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            return _quote(path)
    return _quote(path) if path[:1] == '"' else path


def all_to_wire(paths: Collection[str]) -> list[str]:
    """Return :func:`to_wire` of each; where all are plain, as nearly always, one look at them together tells."""
    together = "".join(paths)
    return list(paths) if together.isascii() and '"' not in together else [to_wire(path) for path in paths]


def from_wire(text: str) -> str:
    """Undo :func:`to_wire`, or git's own quoting of a path in a patch.

    Raises:
        PathError: ``PATH_BAD_QUOTING``.
    """
    if not text.startswith('"'):
        return text
    out = bytearray()
    body = text[1:-1].encode("utf-8", "surrogateescape")
    index = 0
    try:
        if len(text) < 2 or not text.endswith('"'):
            raise ValueError("no closing quote")
        while index < len(body):
            byte = body[index]
            index += 1
            if byte == 0x22:
                raise ValueError("a bare quote inside")
            if byte != 0x5C:
                out.append(byte)
                continue
            escape = chr(body[index])
            if escape in _UNESCAPES:
                out.append(_UNESCAPES[escape])
                index += 1
            else:
                digits = body[index : index + 3]
                if not re.fullmatch(rb"[0-3][0-7]{2}", digits):
                    raise ValueError("an unknown escape")
                out.append(int(digits, 8))
                index += 3
    except (ValueError, IndexError) as error:
        raise PathError(
            "PATH_BAD_QUOTING",
            f"path {text!a}: malformed quoting",
            "Quote the name as git does: C escapes between double quotes.",
        ) from error
    return out.decode("utf-8", "surrogateescape")
