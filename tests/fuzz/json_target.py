"""JSON and the documents in it: what we accept, the standard library reads alike; what it refuses, we refuse.

The first byte chooses the reader, so that the fuzzer gets at each of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.fuzz.diff_target import TREE
from tests.fuzz.guard import guarded

from lonelycat.changes import strict_json
from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.formats.document import changes_from_json, changeset_from_json, plan_from_json, read_changeset
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import LonelyCatError
from lonelycat.settings import Limits

WORDS = (
    b"NaN", b"-Infinity", b"1e999", b"-0", b"9007199254740993", b"\\ud800", b"\\ud83d\\ude00", b"\\u0000",
    b"\xef\xbb\xbf",
    b'{"a":1,"a":2}', b"[[[[[[[[", b"]]]]]]]]", b'"operation":"create"', b'"operation":"rename"', b'"path":"x"',
    b'"old_path":',
    b'"content":{"text":"x"}', b'"content":{"base64":"eA=="}', b'"new_mode":"100755"', b'"old_hash":',
    b'"changes":[', b"null",
    b"../", b".git/config", b'"checksum":', b'"plan_id":', b"\\u002e", b"1E+2", b"0.1", b"true",
)  # fmt: skip
_DRAFT = b'{"changes": [{"operation": "create", "path": "n", "content": {"text": "hello\\n"}}]}'

READERS: tuple[Callable[[bytes], Any], ...] = (
    strict_json.loads,
    plan_from_json,
    changeset_from_json,
    lambda data: changes_from_json(data, TREE.get),
    lambda data: read_changeset(data, TREE.get),
)


def seeds() -> Iterable[bytes]:
    """Return values of every kind, a plan, a change set and drafts."""
    for value in (b"{}", b'{"a": [1, -2.5e3, "\\u00e9\\ud83d\\ude00", true, null]}', b'"x"', b"0", b" [ ] ", b"1e5"):
        yield b"0" + value
    yield b"0" + b"[" * 64 + b"]" * 64
    yield b"0" + b'{"a":' * 65 + b"1" + b"}" * 65
    changes = (
        FileChange.create("n", "new\n"),
        FileChange.update("end", b"first\nlast", b"\xff\0"),
        FileChange.delete("empty", b""),
        FileChange.rename("same", "moved", TREE["same"].data),
    )
    plan = ChangePlan.new(intent="Tidy up", created_by="agent:x", affected_paths=["n", "end"], confidence=0.9)
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    yield b"1" + plan.model_dump_json(by_alias=True).encode()
    yield b"2" + changeset.model_dump_json(by_alias=True).encode()
    yield b"3" + _DRAFT
    yield b'3{"changes": [{"operation": "update", "path": "end", "content": {"base64": "eA=="}, "new_mode": "100755"}]}'
    yield b'3{"changes": [{"operation": "delete", "path": "a.txt"}]}'
    yield b'4{"changes": [{"operation": "rename", "old_path": "same", "path": "moved"}]}'


def check(data: bytes) -> None:
    """Hand all but the first byte to the reader that it names."""
    number, document = (data[0] - ord("0")) % len(READERS) if data else 0, data[1:]
    with guarded():
        try:
            value = READERS[number](document)
        except LonelyCatError as error:
            assert error.code and error.hint
            _refused(document, error.code)
            return
    theirs = json.loads(document.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant)
    assert depth(theirs) <= Limits().max_json_depth, "nested deeper than the limit, and accepted"
    if number == 0:
        assert same(value, theirs), f"{value!r:.200} is not {theirs!r:.200}"
    elif isinstance(value, ChangePlan | ChangeSet):
        again = READERS[number](value.model_dump_json(by_alias=True).encode())
        assert again == value, "a document does not survive being written"


def depth(value: object) -> int:
    """Return how deep lists and objects are nested in ``value``."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs), "a key that stands twice was accepted"
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} was accepted")


def _refused(document: bytes, code: str) -> None:
    """Hold a refusal for malformed JSON against the standard library: what it reads is not malformed."""
    if code == "JSON_MALFORMED":
        try:
            json.loads(document.decode("utf-8"))
        except (ValueError, RecursionError):
            return
        raise AssertionError("refused as malformed, and it is not")


def same(ours: object, theirs: object) -> bool:
    """Tell whether two values are alike in type too: 1 is neither 1.0 nor true."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(same(ours[key], theirs[key]) for key in ours)
    return repr(ours) == repr(theirs)
