"""No hostile change is allowed, each for the reason that was expected; every benign one is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hostile import benign, bumps, contents, names, plans, power, weakened
from tests.hostile.workspace import KNOWN_PINS, Case, Contents, listing

from lonelycat.clock import RandomIds, SystemClock
from lonelycat.errors import InputError
from lonelycat.governance.policy_file import LoadedPolicy, load_policy
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.governance.writegate import WriteGate
from lonelycat.planner.fitting import fit_policy
from lonelycat.planner.planner import Planner

DEFAULT = Path(__file__).parents[2] / "agent" / "policies" / "default.yaml"
HOSTILE = (*power.CASES, *bumps.CASES, *names.CASES, *contents.CASES, *weakened.CASES, *plans.CASES)


def _policies() -> dict[str, LoadedPolicy]:
    fitted = fit_policy(listing()).text.encode()
    return {
        "default": load_policy(DEFAULT.read_bytes(), source=str(DEFAULT), pins=KNOWN_PINS),
        "fitted": load_policy(fitted, source="fitted policy", pins=KNOWN_PINS),
    }


POLICIES = _policies()
SIGNER = Ed25519Signer.generate()


def _judge(case: Case, loaded: LoadedPolicy) -> tuple[str, set[str], str]:
    """Return the verdict, the codes and categories that count against it, and all of it in words."""
    clock = SystemClock()
    ids = RandomIds(clock)
    contents_ = Contents()
    planner = Planner(loaded.policy, clock=clock, ids=ids, contents=contents_, known_pins=loaded.pins)
    try:
        plan, changeset = planner.plan(intent=case.intent, created_by="agent:x", changes=case.make())
    except InputError as error:
        return "REFUSED", {error.code}, str(error)
    if case.forge is not None:
        plan, changeset = case.forge(plan, changeset)
    gate = WriteGate(
        loaded.policy,
        loaded.sha256,
        clock=clock,
        ids=ids,
        signer=SIGNER,
        contents=contents_,
        known_pins=loaded.pins,
    )
    decision = gate.evaluate(plan, changeset)
    counting = [reason for reason in decision.reasons if reason.counts]
    against = [reason for reason in counting if reason.verdict != "ALLOW"]
    said = "; ".join(f"{reason.code} {reason.message} {list(reason.paths[:3])}" for reason in against)
    codes = {reason.code for reason in against} | {reason.rule for reason in counting if reason.paths}
    return decision.verdict.value, codes, said


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name.encode("ascii", "backslashreplace").decode())
def test_no_hostile_change_is_allowed(case: Case, policy: str) -> None:
    verdict, codes, said = _judge(case, POLICIES[policy])
    assert verdict != "ALLOW"
    assert codes.intersection(case.code.split("|")), said


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", benign.CASES, ids=lambda case: case.name)
def test_everyday_changes_are_allowed(case: Case, policy: str) -> None:
    verdict, _, said = _judge(case, POLICIES[policy])
    assert verdict == "ALLOW", said


@pytest.mark.parametrize("case", benign.BUMPS, ids=lambda case: case.name)
def test_version_bumps_are_allowed_by_a_fitted_policy_and_checked(case: Case) -> None:
    verdict, codes, said = _judge(case, POLICIES["fitted"])
    assert verdict == "ALLOW", said
    raising = {code for code in codes if code.startswith("categories.") or code == "builtin.governance_paths"}
    assert raising, "a bump keeps the risk of what it touches, and with it the checks"


def test_the_corpora_are_large_and_their_names_are_unique() -> None:
    hostile = [case.name for case in HOSTILE]
    assert len(hostile) == len(set(hostile)) >= 400
    assert len(benign.CASES) >= 30 and len(benign.BUMPS) >= 10
    assert all(case.code for case in HOSTILE)
