"""What a workspace holds, as far as a fitted policy wants to know; found by names and a few small files.

Invariants:
- Pure: everything comes through :class:`WorkspaceListing`; nothing is run, imported or resolved.
- The same listing gives the same survey, in sorted order, whatever order the paths came in.
- A file that is not what its name says (malformed, not UTF-8) is evidence of nothing; it is no error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lonelycat.planner.path_kinds import PathKind, kind_of

_LANGUAGES = {
    ".py": "Python", ".pyi": "Python", ".js": "JavaScript", ".mjs": "JavaScript", ".cjs": "JavaScript",
    ".jsx": "JavaScript", ".ts": "TypeScript", ".tsx": "TypeScript", ".go": "Go", ".rs": "Rust", ".c": "C",
    ".h": "C", ".cc": "C++", ".cpp": "C++", ".hpp": "C++", ".java": "Java", ".kt": "Kotlin", ".rb": "Ruby",
    ".php": "PHP", ".cs": "C#", ".swift": "Swift", ".scala": "Scala", ".ex": "Elixir", ".exs": "Elixir",
    ".sh": "Shell", ".lua": "Lua",
}  # fmt: skip
_ASSETS = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "jpg", "jpeg", "gif", "webp", "ico", "bmp", "svgz", "woff", "woff2", "ttf", "otf", "eot"),
        *("pdf", "mo", "mp3", "mp4", "webm", "ogg", "wav"),
    )
)
_KEYS = re.compile(r".*\.(?:pem|key|p12|pfx|jks|keystore|crt|cer|der)$|(?:.*/)?id_(?:rsa|dsa|ecdsa|ed25519)$")
_LOCKS = re.compile(
    r"(?:.*/)?(?:[^/]*\.lock|package-lock\.json|npm-shrinkwrap\.json|pnpm-lock\.yaml|bun\.lockb|go\.sum"
    r"|pylock[^/]*\.toml)"
)
_MIGRATIONS = re.compile(r"((?:.*/)?(?:migrations|alembic/versions|db/migrate))/[^/]+\.(?:py|sql|rb|[jt]s|go)")
_SERVICES = re.compile(
    r"(?:.*/)?(?:(?:docker-)?compose[^/]*\.ya?ml|Dockerfile|Procfile|[^/]+\.service|supervisord?\.conf"
    r"|gunicorn[^/]*\.py)"
)
_ENV_FILE = re.compile(r"(?:.*/)?\.env(?:\..+)?")
_TEST_CODE = re.compile(r"(?:.*/)?(?:test_[^/]*|[^/]*_test|tests?)\.py")


@dataclass(frozen=True)
class WorkspaceListing:
    """What may be known of a workspace.

    Attributes:
        paths: the files that it holds (those that version control tracks, where there is any).
        read: returns the bytes of a file in the workspace, also of one not in ``paths``, or None.
        why_not: runs a harmless command, where and as verification would, and returns why it did not work, in
            words; None when it exited with 0. A ``{workspace}`` in it stands for the workspace.
    """

    paths: tuple[str, ...]
    read: Callable[[str], bytes | None]
    why_not: Callable[[tuple[str, ...]], str | None]

    def text(self, path: str) -> str:
        """Return the file's text, or "" when there is none or it is not UTF-8."""
        data = self.read(path)
        try:
            return "" if data is None else data.decode("utf-8")
        except UnicodeDecodeError:
            return ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found; every tuple is sorted.

    Attributes:
        languages: by number of files, most first.
        by_kind: the paths of each kind.
        test_directories, docs_directories, migration_directories: where those lie, outermost first.
        assets: suffixes of images, fonts and the like, with the dot.
        keys: tracked certificates and keys (mostly of tests).
        env_files: tracked ``.env`` files.
    """

    files: int
    languages: tuple[str, ...]
    by_kind: dict[PathKind, tuple[str, ...]]
    test_directories: tuple[str, ...]
    docs_directories: tuple[str, ...]
    migration_directories: tuple[str, ...]
    locks: tuple[str, ...]
    service_hints: tuple[str, ...]
    assets: tuple[str, ...]
    keys: tuple[str, ...]
    env_files: tuple[str, ...]
    python_tests: tuple[str, ...]

    def of(self, kind: PathKind) -> tuple[str, ...]:
        """Return the paths of ``kind``."""
        return self.by_kind.get(kind, ())


def survey(listing: WorkspaceListing) -> Survey:
    """Return what ``listing`` holds."""
    paths = tuple(sorted({path for path in listing.paths if _is_text(path)}))
    by_kind: dict[PathKind, list[str]] = {}
    for path in paths:
        by_kind.setdefault(kind_of(path)[0], []).append(path)
    suffixes = Counter(_suffix(path) for path in paths)
    languages: Counter[str] = Counter()
    for suffix, name in _LANGUAGES.items():
        languages[name] += suffixes[suffix]
    return Survey(
        files=len(paths),
        languages=tuple(sorted(+languages, key=lambda name: (-languages[name], name))),
        by_kind={kind: tuple(members) for kind, members in by_kind.items()},
        test_directories=_directories(by_kind.get(PathKind.TESTS, ())),
        docs_directories=_directories(by_kind.get(PathKind.DOCUMENTATION, ())),
        migration_directories=_outermost(hit[1] for path in paths if (hit := _MIGRATIONS.fullmatch(path))),
        locks=tuple(path for path in paths if _LOCKS.fullmatch(path)),
        service_hints=tuple(path for path in paths if _SERVICES.fullmatch(path)),
        assets=tuple(sorted(_ASSETS & suffixes.keys())),
        keys=tuple(path for path in paths if _KEYS.fullmatch(path)),
        env_files=tuple(path for path in paths if _ENV_FILE.fullmatch(path)),
        python_tests=tuple(path for path in paths if _TEST_CODE.fullmatch(path)),
    )


def _suffix(path: str) -> str:
    """Return the ending of the last component with its dot, in lower case; empty for none and for dot files."""
    stem, dot, ending = path.rpartition("/")[2].rpartition(".")
    return (dot + ending).lower() if stem else ""


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return path.isprintable()


def _directories(paths: Iterable[str]) -> tuple[str, ...]:
    found = []
    for path in paths:
        why = kind_of(path)[1]
        if why.startswith("directory "):
            name = why.removeprefix("directory ")
            found.append(path[: f"/{path}".index(f"/{name}") + len(name) - 1])
    return _outermost(found)


def _outermost(directories: Iterable[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for directory in sorted(set(directories)):
        if not any(directory.startswith(f"{outer}/") for outer in kept):
            kept.append(directory)
    return tuple(kept)
