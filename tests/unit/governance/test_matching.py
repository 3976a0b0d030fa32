"""Globs: what they mean, what is refused, and that nobody can make them slow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lonelycat.errors import PolicyError
from lonelycat.governance.globs import check_glob
from lonelycat.governance.matching import compile_globs


@pytest.mark.parametrize(
    ("globs", "path", "expected"),
    [
        (["*.pem"], "a/b/c.pem", True),
        (["*.pem"], "c.pem/readme", False),
        ([".env"], "deploy/.env", True),
        ([".env"], ".env/file", False),
        (["src/**"], "src/a/b.py", True),
        (["src/**"], "src", False),
        (["src/**"], "lib/src/a.py", False),
        (["src/*"], "src/a/b.py", False),
        (["/Makefile"], "sub/Makefile", False),
        (["/Makefile"], "Makefile", True),
        (["build/"], "docs/build/x", True),
        (["/build/"], "docs/build/x", False),
        (["docs/build/"], "docs/build/x", True),
        (["**/build/**"], "build/x", True),
        (["**"], "anything/at/all", True),
        (["a/**/b"], "a/b", True),
        (["a/**/b"], "a/x/y/b", True),
        (["a/**/b"], "ab", False),
        (["**/a/**/b/**/c"], "x/a/b/a/y/b/c", True),
        (["**/a/**/b/**/c"], "x/a/c/b", False),
        (["a?c"], "x/abc", True),
        (["a?c"], "a/c", False),
        (["[a-c]x"], "bx", True),
        (["[!a-c]x"], "bx", False),
        (["a[!b]c"], "a/c", False),
        (["{a,b{c,d}}.py"], "bd.py", True),
        (["{a,b{c,d}}.py"], "b.py", False),
        (["x*y*z"], "xaybyz", True),
        (["x*y*z"], "xaz", False),
        (["*a*b"], "cabab", True),
        (["a.b"], "axb", False),
        ([".env.*", "!.env.example"], "x/.env.example", False),
        ([".env.*", "!.env.example"], "x/.env.local", True),
        (["docs/**", "!docs/private/**", "docs/private/ok.md"], "docs/private/ok.md", True),
        (["docs/**", "!docs/private/**", "docs/private/ok.md"], "docs/private/no.md", False),
        ([], "a", False),
        (["!docs/**"], "docs/a", False),
        (["!docs/**"], "src/a", False),
        (["!docs/**", "!src/**"], "src/a", False),
        (["[--0]x"], ".x", True),
        (["[+--]x"], ",x", True),
        (["[[a]x"], "[x", True),
        (["[a~~b]x"], "~x", True),
        (["[a||b]x"], "|x", True),
        (["[a&&b]x"], "&x", True),
        (["[a-c-e]x"], "dx", False),
        (["[a-c-e]x"], "-x", True),
        (["[a-]x"], "-x", True),
        (["[-a]x"], "-x", True),
        (["[]a]x"], "]x", True),
        (["*requirements*.txt"], "sub/dev-requirements-3.txt", True),
        (["*requirements*.txt"], "requirements/x.txt", False),
        (["**/cron.d/**"], "etc/cron.d/job", True),
        (["**/.github/workflows/**"], "x/.github/workflows/a.yml", True),
        (["Dockerfile*"], "srv/Dockerfile.prod", True),
    ],
)
def test_meaning(globs: list[str], path: str, expected: bool) -> None:
    assert compile_globs(globs).matches(path) is expected
    assert bool(compile_globs(globs).select([path])) is expected


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        (".env", ".ENV"),
        ("*.PEM", "server.pem"),
        ("Secrets/**", "secrets/x"),
        (".env", "．env"),  # a full-width dot
        (".env", ".e\u200bnv"),
        ("café/**", "cafe\u0301/x"),
        ("straße", "STRASSE"),
    ],
)
def test_folding_forbids_every_spelling(glob: str, path: str) -> None:
    assert compile_globs([glob], folds=True).matches(path)


def test_without_folding_a_name_is_what_it_is() -> None:
    assert not compile_globs(["src/**"]).matches("SRC/a")


def test_folding_never_allows_more() -> None:
    matcher = compile_globs([".env.*", "!.env.example"], folds=True)
    assert matcher.matches(".ENV.EXAMPLE")
    assert not matcher.matches(".env.example")


def test_selecting_is_matching_one_by_one() -> None:
    paths = ["docs/a", "docs/private/no", "docs/private/ok", "x/.ENV.Example", "x/.env.example", ".env.local", "z"]
    matcher = compile_globs(["docs/**", ".env.*", "!docs/private/**", "!.env.example", "docs/private/ok"], folds=True)
    assert matcher.select(paths) == [path for path in paths if matcher.matches(path)]
    assert matcher.select(paths) == ["docs/a", "docs/private/ok", "x/.ENV.Example", ".env.local"]


def test_first_names_the_pattern() -> None:
    matcher = compile_globs(["*.md", "docs/**", "!docs/x.md"])
    assert matcher.first("docs/a.txt") == "docs/**"
    assert matcher.first("docs/x.md") is None


@pytest.mark.parametrize(
    "glob",
    [
        "a//b",
        "../x",
        "a/./b",
        "",
        "!",
        "!!a",
        "a\\b",
        "a**b",
        "{a,b",
        "a}",
        "[a",
        "a\nb",
        "[z-a]",
        "/",
        "{a,b}" * 7,
        "//a",
    ],
)
def test_refuses_what_is_outside_of_the_grammar(glob: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compile_globs([glob]).matches("a")
    assert caught.value.code == "POLICY_BAD_GLOB"
    assert caught.value.hint


@pytest.mark.parametrize("glob", ["[Z-a]", "src/x[Y-b]*", "!docs/[Z-_]", "{a,[Z-a]}", "[Ω-ά]"])
def test_a_range_that_names_of_another_case_turn_round_is_refused_when_it_is_loaded(glob: str) -> None:
    """It means something as it is written, and nothing where names are folded: every change would be denied."""
    with pytest.raises(PolicyError) as caught:
        check_glob(glob)
    assert caught.value.code == "POLICY_BAD_GLOB"
    check_glob("[A-z]")


def test_brace_bombs_are_bounded() -> None:
    with pytest.raises(PolicyError):
        compile_globs(["{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}" * 8])


HOSTILE = """
from lonelycat.governance.matching import compile_globs
globs = ["*a" * 120 + "b", "**/a/" * 60 + "b", "a/" + "*".join("a" * 200) + "b", "**/" + "?*" * 120 + "z",
         "/".join(["**", "*a*a*a*a*b"] * 20), "[ab]*" * 60 + "c", "**/*a*/**/*a*/**/*a*/**/z"]
paths = ["a" * 3990, "/".join("a" * 1990), "/".join(["a" * 200] * 19), "/".join(["ab" * 30] * 60)]
for glob in globs:
    for path in paths:
        compile_globs([glob], folds=True).matches(path)
"""


def test_adversarial_patterns_end() -> None:
    """A backtracking matcher would need longer than the universe; the limit is only there to end it."""
    subprocess.run([sys.executable, "-c", HOSTILE], check=True, timeout=60)


PIECES = (
    "a", "B", "*", "**", "?", "/", "!", "[a-c]", "[!a]", "[", "]", "[z-a]", "{a,b}", "{", "}", ",", ".", "..", "\\",
    "é", "\n",
)  # fmt: skip


@given(glob=st.lists(st.sampled_from(PIECES), max_size=7).map("".join))
@settings(max_examples=500, deadline=None)
@example(glob="[")
@example(glob="!!a")
@example(glob="src/**/[z-a]x")
@example(glob="*.{py,[}")
@example(glob="{a,b}[")
def test_a_pattern_is_checked_exactly_as_it_is_compiled(glob: str) -> None:
    """The check of a policy's patterns refuses what compiling refuses, in the same words, and nothing else."""

    def said(take: Callable[[], object]) -> str | None:
        try:
            take()
        except PolicyError as error:
            return str(error)
        return None

    assert said(lambda: check_glob(glob)) == said(lambda: compile_globs((glob,)))


@pytest.mark.parametrize(
    "path", ["a/conftest.py", "dockerfile.x", "deep/er/setup-1.cfg", "none.txt", "doc/azure-1.yml"]
)
def test_names_of_different_first_letters_stand_in_one_list(path: str) -> None:
    globs = ("conf*.py", "dockerfile*", "Dockerfile*", "setup-?.cfg", "azure-*.yml", "[ab]*.md", "do*r.x")
    alone = any(compile_globs((glob,)).matches(path) for glob in globs)
    assert compile_globs(globs).matches(path) is alone
    assert alone is (path != "none.txt")
