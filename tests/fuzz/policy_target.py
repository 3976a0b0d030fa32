"""Policy files: a typed answer with a place; and a policy that loads says the same when it is written as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import yaml
from tests.fuzz.guard import guarded
from tests.fuzz.json_target import depth

from lonelycat.errors import LonelyCatError, PolicyError
from lonelycat.governance import strict_yaml
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy_file import load_policy
from lonelycat.settings import Limits

LIMITS = Limits(max_policy_bytes=1 << 16)
_DEFAULT = Path(__file__).parents[2] / "agent" / "policies" / "default.yaml"
WORDS = (
    b"version: 1\n", b"name: x\n", b"executor:\n", b"  allowed_paths: ['**']\n", b"categories:\n", b"paths: [",
    b"risk: HIGH",
    b"&a ", b"*a", b"!!str ", b"<<: ", b"---\n", b"...\n", b"%YAML 1.1\n", b"? ", b": ", b"- ", b"|\n ", b">-\n ",
    b"yes", b"0777",
    b"22:22", b"1_000", b"~", b"null", b".inf", b"\xe2\x80\x8b", b"\xe2\x80\xae", b"\t", b"\r\n", b"{", b"}", b"[",
    b"]", b"'", b'"',
    b"#", b"\\x41", b"exceptions:\n", b"windows:\n", b"verification:\n", b"health_checks:\n", b"services:\n",
    b"tests:\n",
)  # fmt: skip
_SMALL = b"""\
version: 1
name: small
executor:
  allowed_paths: ["**"]
  forbidden_paths: [".env", "!.env.example"]
  always_review_categories: [prices]
categories:
  prices: {paths: ["app/*.json"], risk: MEDIUM, except_version_bumps: true}
escalations:
  - {name: large, risk: HIGH, min_patch_lines: 100}
windows:
  - {name: night, start: "22:00", end: "06:00", days: [sat], timezone: UTC}
exceptions:
  - {rules: [PATH_FORBIDDEN], paths: [".env"], expires: "2030-01-01", reason: x}
"""
_CHECKS = b"""\
version: 1
name: checks
executor: {allowed_paths: ["**"]}
verification:
  tests: {argv: ["{python}", -m, pytest], touches: ["**"], timeout: 60, no_tests: {exit_codes: [5]}}
health_checks:
  web: {kind: http, with: {url: "http://127.0.0.1:1/", json_equals: {/a: ok}}, touches: ["app/**"]}
services:
  web: {kind: process, with: {argv: ["{python}"]}, touches: ["app/**"], health_checks: [web]}
tests:
  - {name: t, changes: [{path: a, content: "x\\n"}], expect: ALLOW}
"""


def seeds() -> Iterable[bytes]:
    """Return policies, and YAML that no policy may use."""
    yield from (_SMALL, _CHECKS, b"", b"version: 1\n", b"{}", b"a: &a [*a]\n", b"a: 1\na: 2\n", b"--- 1\n--- 2\n")
    yield b"a: " + b"[" * 25 + b"]" * 25
    yield b'{"version": 1, "name": "x", "executor": {"allowed_paths": ["**"]}}'
    yield from (chunk.encode() for chunk in _DEFAULT.read_text(encoding="utf-8").split("\n\n")[1:6])


def check(data: bytes) -> None:
    """Load ``data``; where it loads, use its globs and write it as JSON."""
    with guarded():
        try:
            document = strict_yaml.parse(data.decode("utf-8"), "fuzz")
        except (UnicodeDecodeError, PolicyError):
            document = None
        try:
            loaded = load_policy(data, source="fuzz", limits=LIMITS)
        except LonelyCatError as error:
            assert error.code.startswith("POLICY_") and error.hint
            assert error.message.startswith("fuzz"), "a refusal does not name the file"
            loaded = None
    assert loaded is None or document is not None
    if document is None:
        return
    assert depth(document.value) <= strict_yaml.MAX_DEPTH, "nested deeper than the limit, and accepted"
    assert _as_others(document.value, data), "other readers of YAML take a plain word for something else"
    text = json.dumps(document.value)
    with guarded():
        again = strict_yaml.parse(text, "fuzz").value
    assert again == document.value, "a value does not survive being written as JSON"
    if loaded is not None:
        with guarded():
            assert load_policy(text.encode(), source="fuzz").policy == loaded.policy
            section = loaded.policy.executor
            for globs in (section.allowed_paths, section.forbidden_paths):
                compile_globs(globs, folds=True).matches("app/prices.json")


def _as_others(value: object, data: bytes) -> bool:
    """Tell whether a common reader gets the same value, dates apart: those are text to us, and harmless."""
    try:
        theirs = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError):  # a date that is none, or a lone "="
        return True
    return _alike(value, theirs)


def _alike(ours: object, theirs: object) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return len(ours) == len(theirs) and all(
            _alike(one, other) for one, other in zip(ours.items(), theirs.items(), strict=True)
        )
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    if isinstance(theirs, date):
        return isinstance(ours, str)
    if isinstance(ours, float) and isinstance(theirs, str):  # 1e5 has no dot, and so is text in YAML 1.1
        return float(theirs) == ours
    return repr(ours) == repr(theirs)
