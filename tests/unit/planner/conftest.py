"""A policy with services, and a planner under it whose clock and ids stand still."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lonelycat.governance.policy_file import load_policy
from lonelycat.planner.planner import Planner

POLICY = b"""
version: 1
name: sample
executor:
  allowed_paths: ["**"]
categories:
  schema: {paths: ["migrations/**"], risk: HIGH}
  source: {paths: ["src/**"], risk: MEDIUM}
verification:
  syntax: {argv: [check]}
  tests: {argv: [pytest], touches: ["src/**", "tests/**"]}
  links: {argv: [links], touches: ["docs/**"]}
health_checks:
  disk: {kind: file, with: {path: "."}}
  web: {kind: tcp, with: {host: localhost, port: 80}, touches: ["web/**"]}
  queue: {kind: tcp, with: {host: localhost, port: 81}, touches: ["queue/**"]}
services:
  web: {kind: command, with: {argv: [restart]}, touches: ["web/**"], health_checks: [web]}
  queue: {kind: command, with: {argv: [restart]}, touches: ["queue/**"], health_checks: [queue]}
"""


class FixedClock:
    """Always the same moment."""

    def now(self) -> datetime:
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a planner does not wait")


class CountingIds:
    """One, two, three."""

    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"


@pytest.fixture
def planner() -> Planner:
    return Planner(load_policy(POLICY).policy, clock=FixedClock(), ids=CountingIds())
