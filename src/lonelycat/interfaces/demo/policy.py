"""The policy of the demonstration's repository."""

from __future__ import annotations

APPROVER = "maria"
SERVICE = "web"

_TEMPLATE = """\
version: 1
name: demo
description: A small shop. Prices are a person's business; secrets stay out; the web service must stay up.
executor:
  allowed_paths: ["app/**", "tests/**", "docs/**", "README.md"]
  forbidden_paths: ["**/.env", "**/.env.*"]
  always_review_categories: [prices]
  constraints: {{max_execution_time: 60, max_step_time: 20}}
categories:
  prices: {{paths: ["app/prices.json"], risk: HIGH, description: what customers pay}}
  service: {{paths: ["app/**"], risk: MEDIUM, description: the web service}}
{person_and_tests}
health_checks:
  web-answers:
    kind: http
    with: {{url: "http://127.0.0.1:{port}/health", status: [200], body_contains: healthy}}
    description: the service says that it is healthy
    touches: ["app/**"]
    timeout: 2
    interval: 0.2
    attempts: 10
services:
  web:
    kind: process
    with: {{argv: ["{{python}}", app/service.py, "{port}"], settle_seconds: 0.2, grace_seconds: 5}}
    description: the shop's web service
    touches: ["app/**"]
    health_checks: [web-answers]
"""


_PERSON_AND_TESTS = """\
approvals:
  methods: [key]
  approvers:
    {approver}: {{public_key: "{public_key}"}}
verification:
  unit-tests:
    description: the shop's own tests
    argv: ["{{python}}", -m, unittest, -v, {tests}]
    env: {{PYTHONDONTWRITEBYTECODE: "1"}}
    judges: ["tests/**"]
    timeout: 20
    no_tests: {{exit_codes: [5], output_patterns: ["Ran 0 tests"], require_output_pattern: "Ran [1-9]"}}"""


def person_and_tests(*, public_key: str, tests: str) -> str:
    """Return the sections, as YAML, of who approves and of what verifies: the file ``tests``."""
    return _PERSON_AND_TESTS.format(approver=APPROVER, public_key=public_key, tests=tests)


def demo_policy(*, port: int, public_key: str) -> str:
    """Return the policy as YAML.

    Args:
        port: the loopback port of the web service.
        public_key: base64 of the approver's Ed25519 public key.
    """
    shared = person_and_tests(public_key=public_key, tests="tests/test_pages.py")
    return _TEMPLATE.format(port=port, person_and_tests=shared)
