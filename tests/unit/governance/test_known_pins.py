"""A commit passes because a tag of its own repository is known to point to it, and for no other reason."""

from __future__ import annotations

import pytest

from lonelycat.governance.bumps.ci_upkeep import CiChange, ci_change, pins_in
from lonelycat.governance.bumps.known_pins import KnownPins, render, repository_key
from lonelycat.governance.bumps.pins import PinChange

WORKFLOW = ".github/workflows/ci.yml"
HOOKS = ".pre-commit-config.yaml"
V1, V2, V3, V9 = ("a1" * 20, "a2" * 20, "a3" * 20, "a9" * 20)
FORK, OTHER = "f0" * 20, "e0" * 20
KNOWN = KnownPins.of(
    {
        "acme/setup": {"v1.0.0": V1, "v2.0.0": V2, "v2.1.0": V3, "v2": V3, "v9.0.0": V9},
        "acme/other": {"v2.0.0": OTHER},
        "https://code.example/hooks": {"1.0": V1, "1.1": V2},
    }
)
CI = "jobs:\n  test:\n    steps:\n      - uses: acme/setup@{} # {}\n      - run: make\n"
PRE = "repos:\n  - repo: https://code.example/hooks\n    rev: {} # {}\n    hooks: [{{id: tidy}}]\n"


def _moved(old: str, new: str, known: KnownPins = KNOWN, path: str = WORKFLOW) -> CiChange | None:
    return ci_change(path, old.encode(), new.encode(), known)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((V1, "v1.0.0"), (V2, "v2.0.0")),
        ((V2, "v2.0.0"), (V3, "v2.1.0")),
        ((V2, "v2.0.0"), (V3, "v2")),
        ((V2, "2.0.0"), (V3, "pin@v2.1.0")),
        ((V2, "the good one"), (V3, "the good one")),
        (("v2", "v2.0.0"), (V3, "v2.1.0")),
        (("v2.0.0", "the tag"), (V2, "v2.0.0")),
        (("v1", "first"), (V3, "v2.1.0")),
        ((V2, "v2"), (V2, "v2.0.0")),
    ],
)
def test_a_known_commit_of_a_higher_tag_is_verified(old: tuple[str, str], new: tuple[str, str]) -> None:
    assert _moved(CI.format(*old), CI.format(*new)) == CiChange(PinChange.VERIFIED, False, ())
    unknown = _moved(CI.format(*old), CI.format(*new), KnownPins())
    assert unknown is not None and unknown.pins is PinChange.MOVED and unknown.doubts


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ((V2, "v2.0.0"), (FORK, "v2.1.0"), "is no commit that a version tag of this repository is known to point to"),
        ((V2, "v2.0.0"), (OTHER, "v2.0.0"), "is no commit that a version tag of this repository is known to point to"),
        ((FORK, "v2.0.0"), (V3, "v2.1.0"), "which it comes from"),
        ((V3, "v2.1.0"), (V2, "v2.0.0"), "is v2.0.0, which is not above v2.1.0"),
        ((V1, "v1.0.0"), (V9, "v9.0.0"), "is v9.0.0, which is not above v1.0.0"),
        ((V2, "v2.0.0"), (V3, "v2.2.0"), "is v2.1.0, and the comment behind it says v2.2.0"),
        ((V2, "v2.0.0"), (V3, "v2.0.0"), "the comment behind it says v2.0.0"),
        ((V2, "v2.0.0"), (V2, "v2.1.0"), "the comment behind it says v2.1.0"),
        ((V2, "v2.0.0"), (V3, "reviewed"), "gets a comment that is no version"),
        ((V2, "v2.0.0 or so"), (V3, "v2.0.0 or so"), "has a comment with a number"),
        (("v3", "v3.0.0"), (V3, "v2.1.0"), "is not at or shortly above v3"),
        (("v2.2", "x"), (V3, "v2.1.0"), "is not at or shortly above v2.2"),
        ((V3, "v2.1.0"), ("v9", "v2.1.0"), "a tag can be moved"),
    ],
)
def test_anything_else_is_moved_and_says_why(old: tuple[str, str], new: tuple[str, str], why: str) -> None:
    found = _moved(CI.format(*old), CI.format(*new))
    assert found is not None and found.pins is PinChange.MOVED
    assert why in " ".join(found.doubts)


def test_a_commit_is_known_for_its_own_repository_alone() -> None:
    old, new = CI.format(V2, "v2.0.0"), CI.format(V3, "v2.1.0")
    stranger = [text.replace("acme/setup", "acne/setup") for text in (old, new)]
    found = _moved(*stranger)
    assert found is not None and found.doubts == ("nothing is known of the tags of acne/setup",)
    assert _moved(old, new.replace("acme/setup", "acme/other")) is None
    case = [text.replace("acme/setup", "ACME/Setup/sub") for text in (old, new)]
    assert _moved(*case) == CiChange(PinChange.VERIFIED, False, ())


def test_one_unknown_commit_holds_the_file() -> None:
    old = CI.format(V2, "v2.0.0") + CI.format(V2, "v2.0.0").partition("steps:\n")[2]
    found = _moved(old, old.replace(V2, V3, 1).replace(V2, FORK).replace("v2.0.0", "v2.1.0"))
    assert found is not None and found.pins is PinChange.MOVED and len(found.doubts) == 1


@pytest.mark.parametrize(("old", "new", "passes"), [(V1, V2, True), (V2, V1, False), (V1, FORK, False)])
def test_a_hook_is_known_by_the_address_that_it_comes_from(old: str, new: str, passes: bool) -> None:
    before, after = PRE.format(old, "frozen: 1.0"), PRE.format(new, "frozen: 1.1")
    found = _moved(before, after, path=HOOKS)
    assert found is not None and (found.pins is PinChange.VERIFIED) is passes
    assert _moved(before, after.replace("code.example", "code.evil"), path=HOOKS) is None


def test_two_pins_on_one_line_are_not_read() -> None:
    line = "jobs: {{t: {{steps: [{{uses: acme/setup@{0}}}, {{uses: acme/setup@{0}}}]}}}}\n"
    assert _moved(line.format(V2), line.format(V3)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"format": 2, "repositories": {}}',
        b'{"format": 1, "repositories": {}, "more": 1}',
        b'{"format": 1, "repositories": []}',
        b'{"format": 1, "repositories": {"A/b": {}}}',
        b'{"format": 1, "repositories": {"a/b": []}}',
        b'{"format": 1, "repositories": {"a/b": {"main": "%s"}}}' % (b"1" * 40),
        b'{"format": 1, "repositories": {"a/b": {"v1": "1111"}}}',
        b'{"format": 1, "repositories": {"a/b": {"v1": 1}}}',
        b'{"format": 1, "repositories": {"a/b": {}, "a/b": {}}}',
        b"\xff",
    ],
)
def test_a_file_of_another_shape_knows_nothing_and_says_so(data: bytes) -> None:
    pins = KnownPins(data)
    assert pins.exists and pins.problem and pins.tags_of("a/b", "1" * 40) is None
    found = _moved(CI.format(V2, "v2.0.0"), CI.format(V3, "v2.1.0"), pins)
    assert found is not None and found.doubts[0] == pins.problem


def test_the_file_is_the_same_for_the_same_and_bound_into_the_policy() -> None:
    one = render({"b/b": {"v1.10": V2, "v1.9": V1}, "A/a": {"v1": V1}})
    assert one == render({"https://github.com/a/A.git": {"v1": V1}, "b/B": {"v1.9": V1, "v1.10": V2}})
    assert one.index(b'"v1.9"') < one.index(b'"v1.10"')
    assert KnownPins().bound_to("a" * 64) == "a" * 64
    bound = {KnownPins(data).bound_to("a" * 64) for data in (one, one + b" ", b"")}
    assert len(bound) == 3 and "a" * 64 not in bound


def test_pins_are_found_where_they_stand() -> None:
    found = pins_in(WORKFLOW, CI.format(V2, "v2.0.0").encode())
    assert [(pin.repository, pin.commit, pin.comment) for pin in found] == [("acme/setup", V2, "# v2.0.0")]
    assert pins_in("docs/ci.yml", CI.format(V2, "x").encode()) == pins_in(WORKFLOW, b"\t: [") == ()
    assert repository_key("https://github.com/Acme/Setup.git") == repository_key("acme/setup") == "acme/setup"
