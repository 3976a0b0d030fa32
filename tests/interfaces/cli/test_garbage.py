"""Garbage on the command line and in the documents: an exit code of the contract, one JSON object, no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.interfaces.cli.samples import UPDATE_NOTES, create

from lonelycat.interfaces.cli.registry import COMMANDS

ONE_WORKSPACE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""The examples share a workspace on purpose: garbage must not get anywhere near changing it."""

_SAFE = sorted(set(COMMANDS) - {"demo", "gc", "init", "approver"})
_WORDS = st.one_of(
    st.sampled_from(
        ["--json", "--patch", "--by", "--note", "-C", "--", "-", "--help", "--limit", "--key", "--git", "plan_1"]
    ),
    st.text(max_size=12).filter(lambda text: "\0" not in text),
)


@ONE_WORKSPACE
@given(command=st.sampled_from(_SAFE), words=st.lists(_WORDS, max_size=5))
def test_any_arguments(cli: Any, workspace: Path, command: str, words: list[str]) -> None:
    before = (workspace / "notes.md").read_bytes()
    done = cli(command, *words, "--json", cwd=workspace, stdin=b"garbage")
    assert done.code in (0, 1, 2, 3, 4, 5, 6, 7, 8), done
    lines = done.out.splitlines()
    if lines and lines[0].startswith(b"{"):
        answer = json.loads(lines[0])
        assert len(lines) == 1
        assert answer["code"] != "INTERNAL_ERROR", answer
    assert "INTERNAL_ERROR" not in done.err
    assert (workspace / "notes.md").read_bytes() == before


@ONE_WORKSPACE
@given(
    option=st.sampled_from(["--patch", "--changeset", "--plan"]),
    document=st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=30).map(lambda data: UPDATE_NOTES[:60] + data + UPDATE_NOTES[60:]),
        st.integers(0, len(UPDATE_NOTES)).map(lambda end: UPDATE_NOTES[:end]),
        st.sampled_from([b"{}", b"[]", b"null", b'{"changes": [{}]}', b'{"a": 1, "a": 2}', b"[" * 200, b'{"x": NaN}']),
    ),
)
def test_any_document(cli: Any, workspace: Path, option: str, document: bytes) -> None:
    done = cli("check", option, "-", "--intent", "x", "--json", cwd=workspace, stdin=document)
    answer = done.json
    assert done.code in (0, 2, 3, 4, 5), answer
    assert answer["code"] != "INTERNAL_ERROR", answer
    if done.code in (2, 5):
        assert answer["hint"], answer


@pytest.mark.parametrize(
    "path", ["../out", "/etc/passwd", ".git/hooks/new", "a/../../b", ".GIT/hooks/x", "a\\b", "con.txt"]
)
def test_hostile_paths_are_refused_or_denied(cli: Any, workspace: Path, path: str) -> None:
    done = cli("run", "--patch", "-", "--intent", "x", "--json", cwd=workspace, stdin=create(path))
    assert done.code in (2, 4), done
    assert done.json["hint"]
