"""What kind of thing a path is, by its name alone, as data.

Invariants:
- The first rule that fits decides, and it can say why; there is no scoring.
- What gives power stands first: a workflow below ``docs/`` is still CI, not documentation.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from lonelycat.patterns import late_pattern


class PathKind(StrEnum):
    """What a file is for."""

    CI = "ci"
    DEPENDENCIES = "dependencies"
    SCHEMA = "schema"
    TESTS = "tests"
    DOCUMENTATION = "documentation"
    CONFIGURATION = "configuration"
    SOURCE = "source"
    OTHER = "other"


class _Rule(NamedTuple):
    kind: PathKind
    directories: frozenset[str] = frozenset()
    names: re.Pattern[str] | None = None
    where: re.Pattern[str] | None = None


def _rule(kind: PathKind, *, directories: str = "", names: str = "", where: str = "") -> _Rule:
    return _Rule(
        kind,
        frozenset(directories.split()),
        late_pattern(f"(?:{names})", re.IGNORECASE) if names else None,
        late_pattern(where, re.IGNORECASE) if where else None,
    )


_RULES = (
    _rule(
        PathKind.CI,
        directories=".circleci .buildkite .gitlab .azure-pipelines .woodpecker",
        names=r"\.gitlab-ci\.ya?ml|\.travis\.ya?ml|\.?appveyor\.ya?ml|azure-pipelines\.ya?ml|Jenkinsfile"
        r"|\.cirrus\.ya?ml|\.drone\.ya?ml|bitbucket-pipelines\.ya?ml",
        where=r"(?:^|/)\.(?:github|forgejo|gitea)/(?:workflows|actions)/",
    ),
    _rule(
        PathKind.DEPENDENCIES,
        names=r"requirements[^/]*\.(?:txt|in)|constraints[^/]*\.txt|pyproject\.toml|setup\.(?:py|cfg)|Pipfile(?:\.lock)?"
        r"|(?:poetry|uv|pdm|Cargo|composer|flake)\.lock|pylock[^/]*\.toml|package(?:-lock)?\.json|npm-shrinkwrap\.json"
        r"|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|go\.(?:mod|sum)|Cargo\.toml|Gemfile(?:\.lock)?|[^/]*\.gemspec"
        r"|composer\.json|pom\.xml|build\.gradle(?:\.kts)?|[^/]*\.csproj|environment\.ya?ml",
        where=r"(?:^|/)requirements/[^/]+\.(?:txt|in)$|(?:^|/)_?vendor(?:ed)?/",
    ),
    _rule(
        PathKind.SCHEMA,
        names=r"[^/]*\.sql|schema\.(?:prisma|rb|graphql)|alembic\.ini",
        where=r"(?:^|/)(?:migrations|alembic)/(?!.*\.md$)",
    ),
    _rule(
        PathKind.TESTS,
        directories="tests test testing testdata __tests__ __mocks__ __snapshots__ spec specs e2e fixtures",
        names=r"test_[^/]*\.py|tests?\.py|[^/]*_tests?\.(?:py|go|rs|c|cc|cpp|rb)|conftest\.py"
        r"|[^/]*\.(?:test|spec)\.[cm]?[jt]sx?|[^/]*Test\.(?:java|kt)",
    ),
    _rule(
        PathKind.DOCUMENTATION,
        directories="docs doc documentation man news changelog.d newsfragments examples example",
        names=r"[^/]*\.(?:md|rst|adoc|mdx)"
        r"|(?:README|CHANGE(?:S|LOG)|HISTORY|LICEN[CS]E|COPYING|UNLICENSE|AUTHORS|CONTRIBUTORS|NOTICE|NEWS|HACKING|INSTALL"
        r"|CONTRIBUTING|SECURITY)(?:[.-][^/]*)?",
    ),
    _rule(
        PathKind.CONFIGURATION,
        names=r"\.[^/]+|[^/]*\.(?:toml|ya?ml|ini|cfg|conf|json|jsonc|json5|properties|env|service|editorconfig)"
        r"|(?:GNU)?Makefile|Dockerfile[^/]*|[^/]*\.mk|Procfile|Vagrantfile|justfile|CMakeLists\.txt",
        where=r"(?:^|/)\.[^/]+/",
    ),
    _rule(
        PathKind.SOURCE,
        directories="src lib",
        names=r"[^/]*\.(?:py|pyi|pyx|[cm]?[jt]sx?|vue|svelte|go|rs|c|h|cc|cpp|hpp|java|kt|kts|rb|php|cs|fs|swift|scala|ex|exs"
        r"|erl|hs|ml|lua|pl|pm|sh|bash|zsh|fish|ps1|css|scss|less|html?|jinja2?|j2|tmpl|proto|graphql|r|jl|dart|zig|nim)",
    ),
)


@lru_cache(maxsize=16_384)
def kind_of(path: str) -> tuple[PathKind, str]:
    """Return what ``path`` is for and what says so: ``(TESTS, "directory tests/")``."""
    *directories, name = path.split("/")
    for rule in _RULES:
        for directory in directories:
            if directory in rule.directories:
                return _said_by(directory, rule.kind)
        if rule.names is not None and rule.names.fullmatch(name):
            return rule.kind, f"name {name}"
        if rule.where is not None and (found := rule.where.search(path)):
            return rule.kind, f"place {found[0].strip('/')}"
    return PathKind.OTHER, "no rule knows the name"


@lru_cache(maxsize=256)
def _said_by(directory: str, kind: PathKind) -> tuple[PathKind, str]:
    """Return what a directory's name says: one answer for all paths below it."""
    return kind, f"directory {directory}/"


def forget_kinds() -> None:
    """Let go of the kinds that were found; they are found again when they are asked for again."""
    kind_of.cache_clear()
