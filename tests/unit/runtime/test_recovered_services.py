"""A service that recovery cannot restart keeps the workspace closed, and the next recovery tries again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
services:
  web:
    kind: command
    with: {argv: [/bin/sh, -c, "test ! -e broken && touch restarted"]}
    touches: ["**"]
"""
PATCH = b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-old\n+new\n"


def _die(*_: object) -> None:
    os._exit(9)


def test_a_restart_that_fails_in_recovery_is_tried_again_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent/policies").mkdir(parents=True)
    (tmp_path / "agent/policies/default.yaml").write_text(POLICY)
    (tmp_path / "a.txt").write_text("old\n")
    service = LonelyCat.open(tmp_path)
    judgement = service.propose(ChangeRequest(patch=PATCH, intent="die after the restart", by="agent:x"))
    monkeypatch.setattr(ServiceChecks, "verify", _die)
    child = os.fork()
    if child == 0:
        service.execute(judgement.plan.id)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (tmp_path / "a.txt").read_text() == "new\n"

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
