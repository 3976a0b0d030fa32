"""What in pyproject.toml is for people, and the nearest change that is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lonelycat.governance.bumps.projects import only_describes

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "app"
version = "1.0"
description = "Adds up."
readme = "README.md"
license = "MIT"
requires-python = ">=3.11"
keywords = ["sum"]
classifiers = ["Private :: Do Not Upload", "Topic :: Sums"]
authors = [{ name = "Ann", email = "ann@example.org" }]
dependencies = ["requests>=2.31"]
dynamic = []

[project.urls]
Home = "https://example.org"

[project.scripts]
app = "app:main"

[tool.ruff]
extend = "base.toml"
[tool.ruff.lint]
select = ["E", "S"]
ignore = ["E203", "UP038"]
per-file-ignores = { "x.py" = ["S"] }

[tool.mypy]
plugins = ["x"]

[tool.pytest.ini_options]
addopts = "-q"
"""
HARMLESS = {
    "description": ("Adds up.", "Adds numbers up."),
    "version": ('version = "1.0"', 'version = "1.1.dev0"'),
    "keywords": ('keywords = ["sum"]\n', ""),
    "classifiers": ('"Topic :: Sums"', '"Topic :: Sums", "Typing :: Typed"'),
    "authors": ('name = "Ann"', 'name = "Ann Example"'),
    "a link": ("https://example.org", "https://example.org/app"),
    "a link more": ('Home = "', 'Source = "https://code.example"\nHome = "'),
    "a stricter linter": ('["E203", "UP038"]', '["E203"]'),
    "a linter that ignores nothing": ('ignore = ["E203", "UP038"]\n', ""),
    "a linter that looks for more": ('["E", "S"]', '["E", "S", "B"]'),
    "a comment": ("[project]\n", "[project]\n# Who we are.\n"),
}
HARMFUL = {
    "a name": ('name = "app"', 'name = "apq"'),
    "a lower version": ('version = "1.0"', 'version = "0.9"'),
    "a version out of proportion": ('version = "1.0"', 'version = "99.0"'),
    "a dependency": ('"requests>=2.31"', '"requests>=2.31", "evil"'),
    "a looser dependency": ('"requests>=2.31"', '"requests"'),
    "what it builds with": ('["hatchling"]', '["hatchling", "evil"]'),
    "who builds it": ("hatchling.build", "evil.build"),
    "a file for the description": ("README.md", "/etc/passwd"),
    "a licence": ('license = "MIT"', 'license = { file = "/etc/passwd" }'),
    "a python": (">=3.11", ">=3.8"),
    "what keeps it private": ('"Private :: Do Not Upload", ', ""),
    "no classifiers at all": ('classifiers = ["Private :: Do Not Upload", "Topic :: Sums"]\n', ""),
    "a command": ("app:main", "evil:main"),
    "a field that a program fills": ("dynamic = []", 'dynamic = ["readme"]'),
    "a laxer linter": ('["E203", "UP038"]', '["E203", "UP038", "S"]'),
    "a linter that ignores another": ('"UP038"', '"S"'),
    "a linter that looks for less": ('["E", "S"]', '["E"]'),
    "a linter that ignores by file": ('"x.py" = ["S"]', '"*" = ["S"]'),
    "whose settings a linter takes": ("base.toml", "evil.toml"),
    "a plugin": ('plugins = ["x"]', 'plugins = ["x", "evil"]'),
    "what tests run with": ('"-q"', '"-q -p evil"'),
    "a tool more": ("[tool.mypy]", "[tool.evil]\nrun = 1\n[tool.mypy]"),
    "a description that is a table": ('"Adds up."', '{ file = "/etc/passwd" }'),
    "links that are a list of lists": ('Home = "https://example.org"', 'Home = [["x"]]'),
    "no project": ("[project]\n", "[projects]\n"),
    "no TOML": ("[project]\n", "[project\n"),
}


def _applied(*edits: tuple[str, str]) -> bool:
    text = PROJECT
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return only_describes(PROJECT, text)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_for_people_may_change(name: str) -> None:
    assert _applied(HARMLESS[name])


@pytest.mark.parametrize("name", HARMFUL)
def test_what_decides_anything_may_not(name: str) -> None:
    assert not _applied(HARMFUL[name])


@settings(max_examples=150)
@given(st.lists(st.sampled_from(sorted(HARMLESS)), unique=True, max_size=4), st.sampled_from(sorted(HARMFUL)))
def test_a_harmful_edit_is_not_hidden_by_harmless_ones(names: list[str], harmful: str) -> None:
    chosen = [HARMFUL[harmful]]
    for name in names:
        if not any(_overlap(HARMLESS[name], each) for each in chosen):
            chosen.append(HARMLESS[name])
    assert not _applied(*chosen)


def _overlap(one: tuple[str, str], other: tuple[str, str]) -> bool:
    spans = [(PROJECT.index(old), PROJECT.index(old) + len(old)) for old, _ in (one, other)]
    return spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]


def test_no_change_and_deep_nesting_are_none() -> None:
    assert not only_describes(PROJECT, PROJECT)
    deep = "a = " + "[" * 5_000 + "]" * 5_000
    assert not only_describes(deep, deep + "\n")
