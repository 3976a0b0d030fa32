"""What counts as raising a pin: each case differs in one thing from a file where it does."""

from __future__ import annotations

import pytest

from lonelycat.governance.bumps.ci_upkeep import MAX_BYTES, ci_change
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.bumps.pins import PinChange

WORKFLOW = ".github/workflows/ci.yml"
HOOKS = ".pre-commit-config.yaml"
CI = "name: ci\njobs:\n  test:\n    steps:\n      - uses: acme/setup@v4 # the newest\n      - run: make\n"
PRE = "repos:\n  - repo: https://code.example/hooks\n    rev: v1.2.0\n    hooks: [{id: tidy}]\n"
_COMMIT, _OTHER = "3b1f9c0d5a7e2846c1d0f9e8b7a6958473625140", "9e8d7c6b5a49382716054f3e2d1c0b0a99887766"


def pin_change(path: str, old: bytes | None, new: bytes | None) -> PinChange | None:
    found = ci_change(path, old, new, KnownPins())
    assert found is None or found.pins is None or not found.tended
    assert found is None or (found.pins is PinChange.MOVED) is bool(found.doubts)
    return found.pins if found else None


def _change(path: str, text: str, old: str, new: str) -> PinChange | None:
    assert text.count(old) == 1
    return pin_change(path, text.encode(), text.replace(old, new).encode())


@pytest.mark.parametrize(
    ("path", "text", "old", "new"),
    [
        (WORKFLOW, CI, "@v4", "@v5"),
        ("sub/.github/workflows/x.yaml", CI, "@v4", "@v9"),
        (WORKFLOW, CI.replace("setup@v4", "setup/sub/dir@1.2.3"), "1.2.3", "1.10.0"),
        (WORKFLOW, CI.replace("acme/setup@v4", "'acme/setup@v4'"), "@v4", "@v5"),
        (WORKFLOW, "jobs:\n  all:\n    uses: acme/ci/.github/workflows/all.yml@v1\n", "@v1", "@v2"),
        (WORKFLOW, "# caf\u00e9\n" + CI, "@v4", "@v5"),
        (WORKFLOW, "jobs: {test: {steps: [{uses: acme/setup@v4}]}}\n", "@v4", "@v5"),
        ("action.yml", "runs:\n  steps:\n    - uses: acme/setup@v4\n", "@v4", "@v5"),
        (".github/actions/own/action.yaml", "runs:\n  steps:\n    - uses: acme/setup@v4\n", "@v4", "@v5"),
        (HOOKS, PRE, "v1.2.0", "v1.10.0"),
        (HOOKS, PRE.replace("v1.2.0", '"24.1"'), '"24.1"', '"24.2"'),
    ],
)
def test_a_higher_tag_is_raised_and_the_way_back_is_not(path: str, text: str, old: str, new: str) -> None:
    assert _change(path, text, old, new) is PinChange.RAISED
    assert _change(path, text.replace(old, new), new, old) is PinChange.MOVED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("acme/setup@v4", f"acme/setup@{_OTHER}"),
        ("acme/setup@v4 # the newest", f"acme/setup@{_OTHER} # v5"),
        ("@v4", "@v4.0.0"),
        ("@v4", "@5"),
        ("@v4", "@v10"),
        ("@v4 # the newest", "@v5 # reviewed"),
        ("@v4 # the newest", "@v5"),
    ],
)
def test_another_commit_or_tag_is_moved(old: str, new: str) -> None:
    assert _change(WORKFLOW, CI, old, new) is PinChange.MOVED


def test_one_moved_pin_makes_all_of_the_file_moved() -> None:
    both = CI.replace("      - run", f"      - uses: acme/other@{_COMMIT}\n      - run")
    after = both.replace("@v4", "@v5").replace(_COMMIT, _OTHER)
    assert pin_change(WORKFLOW, both.encode(), after.encode()) is PinChange.MOVED


@pytest.mark.parametrize(
    ("path", "text", "new"),
    [
        ("a line more", CI, CI.replace("@v4", "@v5") + "      - run: more\n"),
        ("a line more at the end", CI.rstrip("\n"), CI.rstrip("\n").replace("@v4", "@v5") + "\n"),
        ("a line less", CI + "      - run: more\n", CI.replace("@v4", "@v5")),
        ("another line changed", CI, CI.replace("@v4", "@v5").replace("make", "true")),
        ("a name changed", CI, CI.replace("@v4", "@v5").replace("name: ci", "name: cd")),
        ("escaped on both sides", CI.replace("acme/setup@v4", '"acme/setup@v\\x34"'), None),
        ("a key twice elsewhere", CI + "name: again\n", None),
        ("an anchor elsewhere", CI + "env: &all {A: b}\n", None),
        ("an anchor on text elsewhere", CI + "env: &all b\n", None),
        ("an alias elsewhere", CI + "env: {A: *all}\n", None),
        ("a tag elsewhere", CI + "env: !!str b\n", None),
        ("a merge key elsewhere", CI + "env: {<<: {A: b}}\n", None),
        ("a key with an anchor", CI + "&k env: b\n", None),
        ("a key that is a list", CI + "? [a]\n: b\n", None),
        ("a second document", CI + "---\na: b\n", None),
        ("a directive", "%YAML 1.1\n---\n" + CI, None),
        ("not YAML", CI + "\t: [\n", None),
        ("nothing", "# @v4\n", None),
        ("deep", CI + "x: " + "[" * 40 + "]" * 40 + "\n", None),
        ("carriage returns", CI.replace("\n", "\r\n"), None),
        ("a line separator", CI + "# \u2028 x\n", None),
        ("a next line", CI + "# \u0085 x\n", None),
        ("a byte order mark", "\ufeff" + CI, None),
        ("no ASCII on the line", CI.replace("newest", "n\u00e9west"), None),
        ("as an input", CI.replace("- uses", "- with:\n          uses"), None),
        ("as an item of a job", CI.replace("steps:", "other:"), None),
        ("as a value of a job called 0", CI.replace("      - uses", "        0:\n          uses"), None),
        ("another key", CI.replace("uses", "used"), None),
        ("in a block", CI.replace("- uses:", "- run: |\n          uses:"), None),
        ("from an image", CI.replace("acme/setup@v4", "docker://acme/setup:v4"), None),
        ("from the tree", CI.replace("acme/setup@v4", "./acme/setup@v4"), None),
    ],
)
def test_anything_else_is_neither(path: str, text: str, new: str | None) -> None:
    changed = new if new is not None else text.replace("@v4", "@v5").replace(":v4", ":v5").replace("x34", "x35")
    assert changed != text
    assert pin_change(WORKFLOW, text.encode(), changed.encode()) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://", "http://"),
        ("https://code.example/hooks", "local"),
        ("https://code.example/hooks", "https://user:word@code.example/hooks"),
        ("- repo: https://code.example/hooks\n    rev", "- rev"),
        ("rev: v1", "rev: &v v1"),
        ("v1.2.0", "1.2"),
        ("v1.2.0", "12"),
    ],
)
def test_a_hook_of_an_unsafe_source_or_with_a_number_for_a_tag_is_neither(old: str, new: str) -> None:
    text = PRE.replace(old, new)
    before, after = ("1.2", "1.3") if "1.2" in text else ("12", "13")
    assert _change(HOOKS, text, before, after) is None


def test_other_files_and_unknown_bytes_are_neither() -> None:
    old, new = CI.encode(), CI.replace("@v4", "@v5").encode()
    assert pin_change("docs/workflows/ci.yml", old, new) is None
    assert pin_change(".github/workflows/sub/ci.yml", old, new) is None
    assert pin_change(".gitlab-ci.yml", old, new) is None
    assert pin_change(WORKFLOW, None, new) is None
    assert pin_change(WORKFLOW, old, None) is None
    assert pin_change(WORKFLOW, old, old) is None
    assert pin_change(WORKFLOW, old + b"# \xff\n", new + b"# \xff\n") is None
    assert pin_change(WORKFLOW, old + b"#" * MAX_BYTES, new + b"#" * MAX_BYTES) is None
