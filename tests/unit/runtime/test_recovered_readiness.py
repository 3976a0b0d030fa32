"""Readiness after a recovery is told by checks that need nothing from before the change."""

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
PATCH = b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-old\n+new\n"


def _die(*_: object, **__: object) -> None:
    os._exit(9)


def test_a_check_that_compares_with_before_the_change_does_not_hold_up_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent/policies").mkdir(parents=True)
    (tmp_path / "agent/policies/default.yaml").write_text(POLICY)
    (tmp_path / "a.txt").write_text("old\n")
    (tmp_path / "web.log").write_text("started\n")
    service = LonelyCat.open(tmp_path)
    judgement = service.propose(ChangeRequest(patch=PATCH, intent="die after the restart", by="agent:x"))
    monkeypatch.setattr(ServiceChecks, "verify", _die)
    child = os.fork()
    if child == 0:
        service.execute(judgement.plan.id)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (found,) = service.recover().recovered
    assert (str(found.outcome), found.message) == ("undone", "")
    assert service.status().frozen is None
    assert service.status().pending_restarts == ()
