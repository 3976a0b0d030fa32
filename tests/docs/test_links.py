"""Links between pages resolve, pages name no machine's paths, and nothing planned is described as if it existed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "agent").rglob("*.md")))
PICTURES = sorted((ROOT / "docs" / "images").glob("*.svg"))
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_MACHINE = re.compile(r"(?:^|[\s`\"'(=])/(?:work|root|tmp|Users|mnt|opt|srv|home/(?!ada\b))\b")


def _anchors(page: Path) -> set[str]:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return {_slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.is_relative_to(ROOT) and place.is_file(), f"{target} does not exist"
        assert not anchor or anchor in _anchors(place), f"{target}: no such heading"


@pytest.mark.parametrize("page", [*PAGES, *PICTURES], ids=_name)
def test_no_page_names_a_machines_paths(page: Path) -> None:
    assert not _MACHINE.findall(page.read_text(encoding="utf-8"))


def test_every_page_can_be_reached_from_the_front_page() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
        waiting += [
            (page.parent / link.partition("#")[0]).resolve() for link in links if not link.startswith(("http", "#"))
        ]
    assert not {_name(page) for page in (ROOT / "docs").rglob("*.md")} - {_name(page) for page in seen}


@pytest.mark.parametrize("picture", PICTURES, ids=_name)
def test_a_picture_is_well_formed_and_says_in_words_what_it_shows(picture: Path) -> None:
    top = ElementTree.fromstring(picture.read_text(encoding="utf-8"))  # noqa: S314 — our own file
    texts = {child.tag.rpartition("}")[2]: child.text for child in top}
    assert texts.get("title") and texts.get("desc")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_that_do_not_exist_yet_are_not_shown(page: Path) -> None:
    assert not re.findall(r"lonelycat (?:serve|worker|mcp|hook)\b", page.read_text(encoding="utf-8"))


def test_the_checks_of_this_file_can_fail(tmp_path: Path) -> None:
    assert _MACHINE.search("see /tmp/x") and _MACHINE.search("`/home/bob/x`") and not _MACHINE.search("/home/ada/shop")
    page = tmp_path / "page.md"
    page.write_text("# One: two, three\n\n```\n# not a heading\n```\n", encoding="utf-8")
    assert _anchors(page) == {"one-two-three"}
