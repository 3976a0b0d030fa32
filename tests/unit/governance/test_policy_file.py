"""The policy reader: strict, with places, and nothing without effect."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jsonschema
import pytest
import yaml

from lonelycat.errors import PolicyError
from lonelycat.governance import policy as models
from lonelycat.governance.policy_file import json_schema, load_policy
from lonelycat.settings import Limits

GOOD = """\
version: 1
name: small
executor:
  allowed_paths: ["**"]
"""


DATED = "expires: 2030-01-01, reason: r, approved_by: b"


def refused(text: str | bytes) -> PolicyError:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(PolicyError) as caught:
        load_policy(data, source="p.yaml")
    assert caught.value.hint
    return caught.value


def test_loads_with_its_identity() -> None:
    loaded = load_policy(GOOD.encode(), source="p.yaml")
    assert loaded.policy.name == "small"
    assert loaded.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
    assert load_policy(GOOD.encode() + b"# more\n").sha256 != loaded.sha256


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "POLICY_EMPTY", None),
        ("# only a comment\n", "POLICY_EMPTY", None),
        ("{}", "POLICY_EMPTY", None),
        ("a: &x 1\nb: *x\n", "POLICY_ALIAS", "1:4"),
        ("a: *x\n", "POLICY_ALIAS", "1:4"),
        ("a: 1\nb: 2\na: 3\n", "POLICY_DUPLICATE_KEY", "3:1"),
        ("a: !!python/object:os.system x\n", "POLICY_TAG", "1:4"),
        ("a: !!str 1\n", "POLICY_TAG", "1:4"),
        ("a: 1\n---\nb: 1\n", "POLICY_DOCUMENTS", "2:1"),
        ("<<: {a: 1}\n", "POLICY_MERGE_KEY", "1:1"),
        ("a: no\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a: Yes\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a: 0777\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a: 0x1f\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a: 22:22\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a: 1_000\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a: .inf\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a: ~\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a: True\n", "POLICY_AMBIGUOUS_SCALAR", "1:4"),
        ("a:\nb: 1\n", "POLICY_AMBIGUOUS_SCALAR", "1:3"),
        ("on: 1\n", "POLICY_AMBIGUOUS_SCALAR", "1:1"),
        ("? [a]\n: b\n", "POLICY_BAD_KEY", "1:3"),
        ("1: a\n", "POLICY_BAD_KEY", "1:1"),
        ("a: [\n", "POLICY_MALFORMED", "2:1"),
        ("a:\n\tb: 1\n", "POLICY_MALFORMED", "2:1"),
        ("a: " + "[" * 200, "POLICY_TOO_DEEP", "1:24"),
        ("a: \u202eb\n", "POLICY_HIDDEN_TEXT", "1:4"),
        (b"a: \xff\n", "POLICY_NOT_UTF8", None),
        (b"\x00", "POLICY_MALFORMED", None),
        ("- 1\n", "POLICY_INVALID", "1:1"),
        ("just text\n", "POLICY_INVALID", "1:1"),
        (GOOD + "surprise: 1\n", "POLICY_INVALID", "5:1"),
        (GOOD + "categories:\n  x:\n    paths: [a]\n    riks: LOW\n", "POLICY_INVALID", "8:5"),
        (GOOD.replace("small", "12"), "POLICY_INVALID", "2:1"),
        (GOOD + "approvals: {expires_after: 900000000000}\n", "POLICY_INVALID", "5:13"),
        (GOOD.replace("version: 1", 'version: "1"'), "POLICY_INVALID", "1:1"),
        (GOOD + "content: {secrets: maybe}\n", "POLICY_INVALID", "5:11"),
        (GOOD + "default_risk: EXTREME\n", "POLICY_INVALID", "5:1"),
        (GOOD + 'windows:\n  - {name: a, start: "25:99"}\n', "POLICY_INVALID", "6:15"),
    ],
)
def test_refusals_name_the_place(text: str | bytes, code: str, place: str | None) -> None:
    error = refused(text)
    assert error.code == code
    if place:
        assert f"p.yaml:{place}:" in error.message


def test_alias_bomb_is_refused_at_its_first_anchor() -> None:
    bomb = "a: &a [x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(20)
    )
    assert refused(bomb).code == "POLICY_ALIAS"


def test_too_large() -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(b"#" * 101, limits=Limits(max_policy_bytes=100))
    assert caught.value.code == "POLICY_TOO_LARGE"


@pytest.mark.parametrize(
    ("section", "code", "words"),
    [
        ('categories: {x: {paths: ["a//b"]}}', "POLICY_BAD_GLOB", "categories"),
        ('categories: {x: {paths: ["!a"]}}', "POLICY_UNREACHABLE", "takes nothing back"),
        ("categories: {x: {paths: [a, a]}}", "POLICY_UNREACHABLE", "twice"),
        ("services: {web: {kind: process, with: {}, health_checks: [gone]}}", "POLICY_UNKNOWN_NAME", "gone"),
        ("shadow: [NO_SUCH_CODE]", "POLICY_UNKNOWN_NAME", "NO_SUCH_CODE"),
        ("shadow: [CHECKSUM_MISMATCH]", "POLICY_NOT_LIFTABLE", "CHECKSUM_MISMATCH"),
        ("escalations: [{name: a, risk: LOW, min_files: 2}]", "POLICY_UNREACHABLE", "default_risk"),
        ("escalations: [{name: a, risk: HIGH, min_files: 51}]", "POLICY_UNREACHABLE", "max_files_touched"),
        ("escalations: [{name: a, risk: HIGH, min_patch_lines: 5001}]", "POLICY_UNREACHABLE", "max_patch_lines"),
        (
            "escalations: [{name: a, risk: HIGH, paths: [p, q]}, {name: b, risk: MEDIUM, paths: [q, p]}]",
            "POLICY_UNREACHABLE",
            "same conditions",
        ),
        ("escalations: [{name: a, risk: HIGH}, {name: a, risk: CRITICAL}]", "POLICY_UNREACHABLE", "twice"),
        ("windows: [{name: a, timezone: Mars/Olympus}]", "POLICY_TIMEZONE", "Mars/Olympus"),
        ("windows: [{name: a, timezone: ../../etc/passwd}]", "POLICY_TIMEZONE", "passwd"),
        ("windows: [{name: a, from_date: 2026-02-02, to_date: 2026-02-01}]", "POLICY_UNREACHABLE", "ends before"),
        ('windows: [{name: a, start: "08:00", end: "08:00"}]', "POLICY_UNREACHABLE", "same time"),
        (
            f"exceptions: [{{name: a, rules: [PATH_PROTECTED], paths: [a], {DATED}}}]",
            "POLICY_NOT_LIFTABLE",
            "PATH_PROTECTED",
        ),
        (
            f"exceptions: [{{name: a, rules: [SECRET_FUOND], paths: [a], {DATED}}}]",
            "POLICY_UNKNOWN_NAME",
            "SECRET_FUOND",
        ),
        (
            f"exceptions: [{{name: a, rules: [SECRET_FOUND], paths: [], {DATED}}}]",
            "POLICY_UNREACHABLE",
            "names nothing",
        ),
        ("approvals: {quorum: {HIGH: 2}, approvers: {ann: {}}}", "POLICY_UNREACHABLE", "names 1"),
        ("approvals: {methods: []}", "POLICY_UNREACHABLE", "no way"),
        ("verification: {t: {argv: [a], no_tests: {output_patterns: ['(']}}}", "POLICY_BAD_PATTERN", "("),
        ("tests: [{name: t, changes: [{path: a}], expect: DENY, reasons: [NOPE]}]", "POLICY_UNKNOWN_NAME", "NOPE"),
    ],
)
def test_rules_without_effect_fail_the_load(section: str, code: str, words: str) -> None:
    error = refused(GOOD + section + "\n")
    assert error.code == code
    assert "p.yaml:5:" in error.message
    assert words in str(error.details["problems"])


def test_unknown_category_suggests_a_name() -> None:
    text = GOOD + "  always_review_categories: [schemas]\ncategories: {schema: {paths: [a]}}\n"
    error = refused(text)
    assert error.code == "POLICY_UNKNOWN_NAME"
    assert "schema" in error.hint


def test_all_problems_are_listed() -> None:
    error = refused(GOOD + 'categories: {x: {paths: ["a//b", "../c"]}}\nshadow: [NOPE]\n')
    assert len(error.details["problems"]) == 3  # type: ignore[arg-type]  # a list
    assert "(and 2 more problems)" in error.message


def test_quoted_text_stays_text() -> None:
    text = GOOD + 'verification: {t: {argv: ["no", "0777", "22:22", \'1\', "null"]}}\n'
    assert load_policy(text.encode()).policy.verification["t"].argv == ("no", "0777", "22:22", "1", "null")


def test_schema_agrees_with_the_reader() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document: dict[str, Any] = yaml.safe_load(GOOD)
    assert not list(validator.iter_errors(document))
    assert list(validator.iter_errors({**document, "surprise": 1}))
    assert json.dumps(schema)


@pytest.mark.parametrize(
    ("owner", "key"),
    [
        (models.ExecutorSection, "constraints"), (models.ExecutorSection, "concurrency"),
        (models.ExecutorSection, "idempotency"), (models.VerificationProfile, "no_tests"),
        (models.Policy, "content"), (models.Policy, "approvals"),
    ],
)  # fmt: skip
def test_a_section_that_is_left_out_is_one_that_is_left_empty(owner: Any, key: str) -> None:
    """The defaults are made without validation, to start fast; they are what validation would have made."""
    default = owner.model_fields[key].default
    empty = type(default).model_validate({})
    assert (default, default.model_fields_set) == (empty, empty.model_fields_set)
    assert default.model_dump_json() == empty.model_dump_json()
