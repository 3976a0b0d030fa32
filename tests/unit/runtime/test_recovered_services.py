"""Services after a recovery: what cannot be restarted keeps the workspace closed; readiness needs no past."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.runtime.dying import assert_dies, die

from lonelycat import LonelyCat
from lonelycat.runtime.checking import ServiceChecks
from lonelycat.runtime.requests import ChangeRequest

POLICY = """\
version: 1
name: services
executor:
  allowed_paths: ["**"]
  require_health_checks_for_risk: []
verification:
  nothing: {argv: ["true"]}
"""
PATCH = b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-old\n+new\n"


def died_after_the_restart(root: Path, services: str, monkeypatch: pytest.MonkeyPatch) -> LonelyCat:
    """Change a file in a process that dies once the ``services``, the end of the policy, are restarted."""
    (root / "agent/policies").mkdir(parents=True)
    (root / "agent/policies/default.yaml").write_text(POLICY + services)
    (root / "a.txt").write_text("old\n")
    service = LonelyCat.open(root)
    judgement = service.propose(ChangeRequest(patch=PATCH, intent="die after the restart", by="agent:x"))
    with monkeypatch.context() as patch:
        patch.setattr(ServiceChecks, "verify", die)
        assert_dies(lambda: service.execute(judgement.plan.id))
    assert (root / "a.txt").read_text() == "new\n"
    return service


def test_a_restart_that_fails_in_recovery_is_tried_again_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = """\
services:
  web:
    kind: command
    with: {argv: [/bin/sh, -c, "test ! -e broken && touch restarted"]}
    touches: ["**"]
"""
    service = died_after_the_restart(tmp_path, services, monkeypatch)
    (tmp_path / "broken").touch()
    (tmp_path / "restarted").unlink()
    (first,) = service.recover().recovered
    assert (str(first.outcome), (tmp_path / "a.txt").read_text()) == ("failed", "old\n")
    assert "web" in first.message
    assert service.status().frozen is not None
    assert service.status().unfinished == (first.execution_id,)

    (tmp_path / "broken").unlink()
    (second,) = service.recover().recovered
    assert (second.execution_id, str(second.outcome)) == (first.execution_id, "undone")
    assert (tmp_path / "restarted").exists()
    assert service.status().unfinished == ()
    assert service.status().frozen is not None, "a person still has to look"
    assert service.audit_verify().ok


def test_a_check_that_compares_with_before_the_change_does_not_hold_up_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = """\
health_checks:
  no-errors: {kind: log, with: {path: web.log, pattern: ERROR}, touches: ["a.txt"]}
services:
  web:
    kind: command
    with: {argv: [/bin/sh, -c, "echo started >> web.log"]}
    touches: ["a.txt"]
    health_checks: [no-errors]
    ready_timeout: 1
"""
    (tmp_path / "web.log").write_text("started\n")
    service = died_after_the_restart(tmp_path, services, monkeypatch)
    (found,) = service.recover().recovered
    assert (str(found.outcome), found.message) == ("undone", "")
    assert service.status().frozen is None
    assert service.status().pending_restarts == ()
