"""What holds for every change: determinism, order, monotony, and globs against a plain recursive matcher."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.digest import canonical_json
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy_file import load_policy
from lonelycat.governance.policy_tests import ExampleClock, ExampleIds
from lonelycat.governance.rules.base import SEVERITY
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.governance.writegate import WriteGate

DEFAULT = load_policy((Path(__file__).resolve().parents[2] / "agent/policies/default.yaml").read_bytes())
SIGNER = Ed25519Signer.generate()
NOW = datetime(2026, 3, 4, tzinfo=UTC)
C = FileChange

PATHS = [
    "docs/a.md",
    "src/a.py",
    "src/b.py",
    "tests/test_a.py",
    ".env",
    "AGENTS.md",
    "package.json",
    "db/x.sql",
    "x.png",
    "agent/policies/default.yaml",
    "Makefile",
    "sub/dir/file.txt",
    "src/lonelycat/executor/x.py",
    "conftest.py",
]
CONTENTS = [
    b"x\n",
    b"assert f() == 1\n",
    b"a\n" * 300,
    b"\0\1",
    b"p\xe2\x80\xaea",
    b"key='ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8'\n",
]


@st.composite
def changes(draw: st.DrawFn) -> list[FileChange]:
    chosen = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=6, unique=True))
    result = []
    for path in chosen:
        old, new = draw(st.sampled_from(CONTENTS)), draw(st.sampled_from(CONTENTS))
        mode = draw(st.sampled_from(["100644", "100755"]))
        kind = draw(st.sampled_from(["create", "update", "delete"]))
        if kind == "create":
            result.append(C.create(path, new, mode=mode))
        elif kind == "delete":
            result.append(C.delete(path, old, mode=mode))
        else:
            result.append(C.update(path, old, new + b"!\n", old_mode="100644", new_mode=mode))
    return result


def judge(members: list[FileChange], proposed: RiskLevel = RiskLevel.LOW) -> GovernanceDecision:
    plan = ChangePlan.new(
        intent="p",
        created_by="agent:p",
        risk_level_proposed=proposed,
        verification_plan=["syntax", "tests"],
        health_checks=["workspace-writable", "lonelycat-imports"],
        rollback_plan="restore",
        clock=ExampleClock(NOW),
        ids=ExampleIds(),
    )
    changeset = ChangeSet.build(plan_id=plan.id, changes=members, id="cs_1", generated_at=NOW)
    gate = WriteGate(DEFAULT.policy, DEFAULT.sha256, clock=ExampleClock(NOW), ids=ExampleIds(), signer=SIGNER)
    return gate.evaluate(plan, changeset)


@given(changes())
@settings(max_examples=80, deadline=None)
def test_same_input_same_decision(members: list[FileChange]) -> None:
    assert judge(members) == judge(members)


@given(changes(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_order_of_changes_does_not_matter(members: list[FileChange], random: object) -> None:
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's own Random
    first, second = judge(members), judge(shuffled)
    assert (first.verdict, first.reasons, first.risk_level_effective) == (
        second.verdict,
        second.reasons,
        second.risk_level_effective,
    )


@given(changes(), st.sampled_from(list(RiskLevel)))
@settings(max_examples=80, deadline=None)
def test_the_gate_only_raises(members: list[FileChange], proposed: RiskLevel) -> None:
    modest, given_risk = judge(members), judge(members, proposed)
    assert given_risk.risk_level_effective >= proposed
    assert given_risk.risk_level_effective == max(modest.risk_level_effective, proposed)
    assert SEVERITY[given_risk.verdict] >= SEVERITY[modest.verdict]


@given(changes(), st.sampled_from(PATHS), st.sampled_from(CONTENTS))
@settings(max_examples=80, deadline=None)
def test_more_changes_never_soften_the_verdict(members: list[FileChange], path: str, content: bytes) -> None:
    if path in {change.path for change in members}:
        return
    more = judge([*members, C.create(path, content)])
    assert SEVERITY[more.verdict] >= SEVERITY[judge(members).verdict]


SEGMENT = st.text(alphabet="ab*?", min_size=1, max_size=4).filter(lambda text: "**" not in text)
GLOB = st.lists(st.one_of(st.just("**"), SEGMENT), min_size=2, max_size=5).map("/".join)
PATH = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join)


def plain_match(glob: str, path: str) -> bool:
    """The definition, by recursion over components; slow and obviously right."""
    components, names = tuple(glob.split("/")), tuple(path.split("/"))

    @cache
    def rest(g: int, p: int) -> bool:
        if g == len(components):
            return p == len(names)
        if components[g] == "**":
            if g == len(components) - 1:
                return p < len(names)
            return rest(g + 1, p) or (p < len(names) and rest(g, p + 1))
        if p == len(names):
            return False
        pattern = "".join({"*": "[^/]*", "?": "[^/]"}.get(char, char) for char in components[g])
        return re.fullmatch(pattern, names[p]) is not None and rest(g + 1, p + 1)

    return rest(0, 0)


@given(GLOB, PATH)
@settings(max_examples=1500, deadline=None)
def test_globs_mean_what_the_definition_says(glob: str, path: str) -> None:
    assert compile_globs([glob]).matches(path) is plain_match(glob, path)
    assert compile_globs([glob], folds=True).matches(path.upper()) is plain_match(glob, path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=8)
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=800, deadline=None)
def test_the_fast_canonical_form_is_rfc_8785(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]  # any JSON value
