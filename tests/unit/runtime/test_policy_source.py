"""Which policy is in force, and whether it got there in an accountable way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance.ground import POLICY_PATH, Ground

from lonelycat import FileChange, LonelyCat, LonelyCatError, Verdict
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.consent import TerminalConfirmation
from lonelycat.runtime.policy_source import PIN, PolicyInForce, adopt_policy, policy_in_force
from lonelycat.settings import Settings
from lonelycat.shipped import shipped_bytes

NOTE = (FileChange.create("docs/note.md", "note\n"),)


def _in_force(ground: Ground) -> PolicyInForce:
    return Wiring(Settings.for_workspace(ground.root)).policy()


def _approve(ground: Ground, plan_id: str) -> None:
    cat = ground.cat()
    typed = TerminalConfirmation(cat.confirmation_phrase(plan_id), "/dev/pts/test")
    cat.approve(plan_id, by="human:owner", confirmation=typed)


def test_a_workspace_that_never_had_a_policy_is_judged_by_the_shipped_one(tmp_path: Path) -> None:
    found = policy_in_force(Settings.for_workspace(tmp_path), None)
    assert (found.shipped, found.trusted, found.pinned) == (True, True, False)
    assert found.loaded.policy.name == "default"
    assert shipped_bytes("default.yaml").startswith(b"# LonelyCat's default policy.")
    assert list(tmp_path.iterdir()) == []


def test_the_first_policy_that_is_used_is_adopted(begun: Ground) -> None:
    assert _in_force(begun).pinned is False
    begun.keep(NOTE)
    found = _in_force(begun)
    assert (found.pinned, found.trusted, found.shipped) == (True, True, False)
    pin = begun.root / ".lonelycat" / PIN
    assert pin.stat().st_mode & 0o077 == 0
    assert json.loads(pin.read_bytes())["sha256"] == found.loaded.sha256


def test_once_adopted_a_missing_policy_closes_the_workspace(begun: Ground) -> None:
    begun.keep(NOTE)
    (begun.root / POLICY_PATH).unlink()
    with pytest.raises(LonelyCatError) as refused:
        begun.keep(NOTE)
    assert refused.value.code == "POLICY_MISSING"


@pytest.mark.parametrize(
    "replace",
    [
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.symlink_to("copy.yaml"),
        lambda path: path.mkdir(),
        lambda path: path.parent.rename(path.parent.with_name("x")) or path.parent.symlink_to("/dev/null"),
    ],
    ids=["link out", "dangling", "directory", "device in the way"],
)
def test_a_policy_that_cannot_be_read_as_a_plain_file_closes_the_workspace(
    begun: Ground, replace: Callable[[Path], object]
) -> None:
    begun.keep(NOTE)
    (begun.root / POLICY_PATH).unlink()
    replace(begun.root / POLICY_PATH)
    with pytest.raises(LonelyCatError) as refused:
        _in_force(begun)
    assert refused.value.code in ("POLICY_UNREADABLE", "POLICY_MISSING")


def test_a_policy_changed_from_outside_holds_every_change_until_a_person_has_approved(begun: Ground) -> None:
    assert begun.keep(NOTE).decision.verdict is Verdict.ALLOW
    begun.policy["description"] = "widened by an agent"
    begun.write_policy()
    assert _in_force(begun).trusted is False
    held = begun.keep([FileChange.create("docs/held.md", "x\n")])
    assert held.decision.verdict is Verdict.NEED_APPROVAL
    assert "POLICY_NOT_ADOPTED" in {reason.code for reason in held.decision.reasons if reason.counts}
    assert begun.keep([FileChange.create("docs/still.md", "x\n")]).decision.verdict is Verdict.NEED_APPROVAL
    assert begun.cat().execute(held.plan.id).error_code == "APPROVAL_MISSING"
    _approve(begun, held.plan.id)
    assert _in_force(begun).trusted is True
    assert begun.cat().execute(held.plan.id).success
    assert begun.keep([FileChange.create("docs/free.md", "x\n")]).decision.verdict is Verdict.ALLOW


def test_looking_does_not_adopt(begun: Ground) -> None:
    begun.keep(NOTE)
    begun.policy["description"] = "changed"
    begun.write_policy()
    for _ in range(2):
        begun.cat().status()
        begun.cat().doctor()
        begun.cat().policy_check()
    assert _in_force(begun).trusted is False


def test_a_policy_changed_on_the_one_path_is_adopted_by_its_approver(begun: Ground) -> None:
    begun.keep(NOTE)
    old = (begun.root / POLICY_PATH).read_bytes()
    new = old.replace(b'"acceptance"', b'"accepted"')
    held = begun.keep([FileChange.update(POLICY_PATH, old, new)])
    assert held.decision.verdict is Verdict.NEED_APPROVAL
    _approve(begun, held.plan.id)
    assert begun.cat().execute(held.plan.id).success
    found = _in_force(begun)
    assert (found.trusted, found.loaded.policy.name) == (True, "accepted")
    assert json.loads((begun.root / ".lonelycat" / PIN).read_bytes())["by"] == "human:owner"
    assert begun.keep([FileChange.create("docs/free.md", "x\n")]).decision.verdict is Verdict.ALLOW


def _edited(pin: dict[str, object], sha256: str) -> bytes:
    return json.dumps({**pin, "sha256": sha256}).encode()


def _by_another_key(pin: dict[str, object], sha256: str) -> bytes:
    statement = {key: value for key, value in pin.items() if key != "signature"} | {"sha256": sha256}
    return json.dumps({**statement, "signature": Ed25519Signer.generate().sign(statement)}).encode()


FORGERIES: dict[str, Callable[[dict[str, object], str], bytes]] = {
    "edited": _edited,
    "another key": _by_another_key,
    "unsigned": lambda pin, sha256: json.dumps({"sha256": sha256}).encode(),
    "no JSON": lambda pin, sha256: b"{",
    "a list": lambda pin, sha256: b"[]",
    "empty": lambda pin, sha256: b"",
    "deep": lambda pin, sha256: b"[" * 60_000,
    "signature of another kind": lambda pin, sha256: json.dumps({**pin, "signature": 7}).encode(),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_pin_is_trusted_with_nothing(begun: Ground, how: str) -> None:
    begun.keep(NOTE)
    begun.policy["description"] = "widened by an agent"
    begun.write_policy()
    path = begun.root / ".lonelycat" / PIN
    path.write_bytes(FORGERIES[how](json.loads(path.read_bytes()), _in_force(begun).loaded.sha256))
    assert _in_force(begun).trusted is False
    assert begun.keep([FileChange.create("docs/held.md", "x\n")]).decision.verdict is Verdict.NEED_APPROVAL


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_a_pin_that_is_no_plain_file_is_trusted_with_nothing(begun: Ground, kind: str) -> None:
    begun.keep(NOTE)
    path = begun.root / ".lonelycat" / PIN
    path.rename(begun.outside / PIN)
    if kind == "link":
        path.symlink_to(begun.outside / PIN)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert _in_force(begun).trusted is False


def test_adopting_never_follows_a_link(begun: Ground) -> None:
    begun.keep(NOTE)
    victim = begun.outside / "victim"
    victim.write_text("safe\n")
    (begun.root / ".lonelycat" / (PIN + ".draft")).symlink_to(victim)
    settings = Settings.for_workspace(begun.root)
    with pytest.raises(OSError, match="symbolic"):
        adopt_policy(settings, "0" * 64, "x", "2026-01-01T00:00:00Z", begun.gate_key())
    assert victim.read_text() == "safe\n"


def test_a_policy_outside_the_workspace_can_be_named(begun: Ground) -> None:
    other = begun.outside / "policy.yaml"
    other.write_text(json.dumps({**begun.policy, "name": "elsewhere"}))
    cat = LonelyCat.open(begun.root, {"LONELYCAT_POLICY": str(other)})
    assert cat.policy_check().policy.name == "elsewhere"
