"""Reads a policy file: strict YAML, strict schema, and a check that every rule in it can mean something.

Invariants:
- A file that loads has no key, name or rule that is silently without effect.
- An empty file is an error, and its caller denies everything; there is no built-in policy to fall back on.
- The policy's identity is the SHA-256 of the file's bytes, comments included; where pins are known, together with
  theirs.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pydantic import ValidationError

from lonelycat.changes.digest import sha256_hex
from lonelycat.errors import PolicyError
from lonelycat.governance import policy_lint, strict_yaml
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.policy import Policy
from lonelycat.governance.strict_yaml import Document, Location
from lonelycat.settings import Limits


class LoadedPolicy(NamedTuple):
    """A policy with its identity.

    Attributes:
        sha256: of the file's bytes, and of the known pins where there are any; what decisions and approvals are
            bound to.
        source: how to name the file in messages.
        pins: which commits the tags of actions and hooks are known to point to.
    """

    policy: Policy
    sha256: str
    source: str
    pins: KnownPins = KnownPins()


def load_policy(
    data: bytes, *, source: str = "policy", limits: Limits | None = None, pins: KnownPins | None = None
) -> LoadedPolicy:
    """Return the policy that ``data`` holds.

    Args:
        data: the file's bytes, UTF-8.
        source: the file's name, for messages.
        limits: the size cap.
        pins: what is known of the tags of actions and hooks; part of the policy's identity.

    Raises:
        PolicyError: ``POLICY_…``, with ``source:line:column`` and all problems in ``details["problems"]``.
    """
    caps = limits or Limits()
    if len(data) > caps.max_policy_bytes:
        raise PolicyError(
            "POLICY_TOO_LARGE",
            f"{source} is over {caps.max_policy_bytes} bytes",
            "Policies are short; split comments off.",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(
            "POLICY_NOT_UTF8", f"{source}:{line}: byte {error.start} is not UTF-8", "Save the policy as UTF-8."
        ) from error
    document = strict_yaml.parse(text, source)
    if document.value is None or document.value == {}:
        raise PolicyError(
            "POLICY_EMPTY", f"{source} is empty, and an empty policy denies everything",
            "Write a policy, or let `lonelycat init` write one.",
        )  # fmt: skip
    policy = _validated(document, source)
    problems = policy_lint.problems(policy)
    if problems:
        first = problems[0]
        place = document.place(first.location)
        located = strict_yaml.error(first.code, source, place, first.message, first.hint)
        raise _with_problems(located, [_located(document, source, p.location, p.message) for p in problems])
    known = pins or KnownPins()
    return LoadedPolicy(policy, known.bound_to(sha256_hex(data)), source, known)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy, as published by ``lonelycat policy schema``."""
    schema = Policy.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "LonelyCat policy", **schema}


def _validated(document: Document, source: str) -> Policy:
    try:
        return Policy.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        located = [_located(document, source, problem["loc"], _words(problem)) for problem in problems]
        place = document.place(problems[0]["loc"])
        raise _with_problems(
            strict_yaml.error(
                "POLICY_INVALID", source, place, f"{_dotted(problems[0]['loc'])}: {_words(problems[0])}",
                "Compare with `lonelycat policy schema` and the policy reference.",
            ),
            located,
        ) from error  # fmt: skip


def _words(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if problem["type"] == "string_type":
        return "must be text; quote it"
    return str(problem["msg"])


def _dotted(location: Location) -> str:
    return ".".join(str(part) for part in location) or "the document"


def _located(document: Document, source: str, location: Location, message: str) -> str:
    place = document.place(location)
    return f"{source}:{place.line}:{place.column}: {_dotted(location)}: {message}"


def _with_problems(error: PolicyError, problems: list[str]) -> PolicyError:
    more = len(problems) - 1
    message = f"{error.message} (and {more} more problem{'s' if more > 1 else ''})" if more else error.message
    return PolicyError(error.code, message, error.hint, details={**error.details, "problems": problems})
