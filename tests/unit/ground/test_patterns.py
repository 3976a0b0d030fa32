"""Patterns that are compiled when they are first used."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import lonelycat
from lonelycat.patterns import _Pattern, late_pattern


def test_it_does_what_a_compiled_pattern_does() -> None:
    late, compiled = late_pattern(r"(?P<word>[a-c]+)(\d*)", re.IGNORECASE), re.compile(r"(?P<word>[a-c]+)(\d*)", re.I)
    text = "xx ABC12 c; aa7"
    assert [match.groups() for match in late.finditer(text)] == [match.groups() for match in compiled.finditer(text)]
    assert late.sub("-", text) == compiled.sub("-", text)
    assert late.split(text) == compiled.split(text)
    assert late.findall(text) == compiled.findall(text)
    assert late.fullmatch("ab") is not None
    assert late.fullmatch("ab;") is late.search("zzz") is late.match("1") is None
    assert (late.pattern, late.flags, late.groupindex) == (compiled.pattern, compiled.flags, compiled.groupindex)
    assert late_pattern(rb"\xff+").match(b"\xff\xff").span() == (0, 2)  # type: ignore[union-attr]  # it matches


def test_it_is_compiled_at_the_first_use_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = re.compile

    def compile_(source: str, flags: int = 0) -> re.Pattern[str]:
        compiled.append(source)
        return real(source, flags)

    monkeypatch.setattr(re, "compile", compile_)
    late = late_pattern("never seen before [0-9]")
    assert compiled == []
    assert [bool(late.search("never seen before 7")) for _ in range(3)] == [True] * 3
    assert compiled == ["never seen before [0-9]"]


def test_what_is_no_expression_says_so_at_the_first_use() -> None:
    late = late_pattern("(unclosed")
    for _ in range(2):
        with pytest.raises(re.error):
            late.search("anything")


def _modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(lonelycat.__path__, "lonelycat."):
        # The migrations run at import, and the demonstrations' sites are programs of their own.
        if not any(part in module.name for part in (".migrations", ".demo.site", ".pair.site", "__main__")):
            yield module.name


def test_every_pattern_of_the_package_compiles() -> None:
    """What would have failed at import, and its warnings, fail here."""
    found = 0
    for name in _modules():
        for value in vars(importlib.import_module(name)).values():
            for each in value.values() if isinstance(value, dict) else (value,):
                if isinstance(each, _Pattern):
                    re.compile(each._source, each._flags)
                    found += 1
    assert found > 60
