"""The reference pages against the source: commands, error codes, dependencies, the tests that guarantees name."""

from __future__ import annotations

import ast
import json
import re
import runpy
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance.rules.codes import CODES
from lonelycat.lifecycle import Status

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_CODE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|USAGE|QUARANTINED")

NOT_CODES = frozenset(
    {
        # variables of the environment
        *(
            "LC_ALL",
            "VIRTUAL_ENV",
            "SUDO_USER",
            "LONELYCAT_APPROVER_KEY",
            "LONELYCAT_DATABASE_URL",
            "LONELYCAT_POLICY",
        ),
        *("LONELYCAT_STATE_DIR", "LONELYCAT_RUN", "PYDANTIC_DISABLE_PLUGINS", "NO_COLOR"),
        *("HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_ASKPASS"),
        # states of the planner, verdicts, placeholders of the command line, prefixes that are completed
        *(
            "EXECUTION_READY",
            "GOVERNANCE_CHECK",
            "PLAN_GENERATION",
            "NEED_APPROVAL",
            "EXECUTION_ID",
            "PLAN_ID",
        ),
        *("HEALTH_CHECK",),
        # capabilities
        *("DAC_OVERRIDE", "NET_BIND_SERVICE"),
        # environments of programs
        *("DEBIAN_FRONTEND", "SHOP_PORT", "SHOP_RUN", "SYSTEMD_PAGER"),
        # of systemd, its bus and gRPC, and a clock
        *("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SYSTEMD_COLORS", "NOT_FOUND", "CLOCK_REALTIME_COARSE"),
    }
)
GIT_VARIABLE = re.compile(
    r"GIT_(?:ALLOW|ASKPASS|ATTR|CEILING|CONFIG|NO|PAGER|TERMINAL|OPTIONAL|DIR|WORK|INDEX|AUTHOR|COMMITTER)"
)
COMPOSED = re.compile(
    r"(?:PROPOSAL|EXECUTION|IDEMPOTENCY|APPROVAL|STANDING)_(?:ALTERED|MISSING|UNKNOWN)"
    r"|HEALTH_(?:HTTP|SUPERVISOR|PROMETHEUS)_(?:CONNECT|TIMEOUT|TLS|PROTOCOL)"
)
"""``records/verification.py`` puts these together, and the health checks that make an HTTP exchange."""


def codes_in_the_source() -> dict[str, str]:
    """Return every constant of the source that has the form of a code, and where it stands."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
                found[node.value] = path.relative_to(ROOT).as_posix()
    return {
        code: place
        for code, place in found.items()
        if code not in NOT_CODES and not GIT_VARIABLE.match(code) and code != code.lower()
    }


def test_every_error_code_is_explained() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", page))
    missing = {code: place for code, place in codes_in_the_source().items() if code not in explained | CODES.keys()}
    assert not missing, f"docs/errors.md lacks {missing}"


def test_every_explained_code_exists() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    explained = {
        code for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    }
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    unknown = {code for code in explained if code not in source and not COMPOSED.fullmatch(code)}
    assert len(explained) > 200
    assert not unknown


def test_the_page_of_the_command_line_is_what_the_program_generates() -> None:
    generated = runpy.run_path(str(DOCS / "generate.py"))["page"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == generated, "run: .venv/bin/python docs/generate.py"


def test_the_figures_on_the_guarantees_page_are_those_of_the_file() -> None:
    evidence = runpy.run_path(str(DOCS / "evidence.py"))
    figures = json.loads((DOCS / "figures" / "harness.json").read_text(encoding="ascii"))
    page = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    assert page == evidence["guarantees"](page, figures), "run: .venv/bin/python docs/generate.py"
    assert all(counts["violations"] == 0 for counts in figures["harnesses"].values() if "violations" in counts)


def test_figures_are_shown_as_they_are_whatever_the_harness_is_called() -> None:
    evidence = runpy.run_path(str(DOCS / "evidence.py"))
    harnesses = {"kills": {"deaths": 12345, "violations": 2}, "a new one": {"odd_things": 1}}
    run = {"command": "make x", "date": "2026-01-02", "seconds": 61, "python": "3.11.0", "kernel": "Linux 6.1"}
    figures = {**run, "harnesses": harnesses}
    page = evidence["guarantees"](f"above\n{evidence['BEGIN']}\nstale\n{evidence['END']}\nbelow\n", figures)
    assert page.startswith("above\n") and page.endswith("\nbelow\n") and "stale" not in page
    assert "| 12,345 deaths | 2 | `.venv/bin/python -m pytest -m long tests/crash/test_kill.py` |" in page
    assert "| a new one |  | 1 odd things | not counted |" in page
    assert "`make x` on 2026-01-02: 61 seconds, Python 3.11.0, Linux 6.1" in page


def test_the_page_of_the_mutations_is_what_their_table_says() -> None:
    generated = runpy.run_path(str(DOCS / "evidence.py"))["mutations"]()
    assert (DOCS / "protocol-mutations.md").read_text(encoding="utf-8") == generated, (
        "run: .venv/bin/python docs/generate.py"
    )


def test_every_harness_is_where_its_description_says() -> None:
    for _, where in runpy.run_path(str(DOCS / "evidence.py"))["HARNESSES"].values():
        assert (ROOT / where).exists(), where


def test_every_dependency_has_its_reason_and_no_other_stands_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *(item for extra in project["project"]["optional-dependencies"].values() for item in extra),
        *(item for group in project["dependency-groups"].values() for item in group),
    ]
    names = sorted(re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in wanted)
    rows = re.findall(
        r"^\| ([\w.-]+) \| (.+?) \| (.+?) \|",
        (DOCS / "dependencies.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    said = sorted(name for name, reason, licence in rows if name not in ("package", "---") and reason and licence)
    assert said == names


@pytest.mark.parametrize("name", ["findings.md", "guarantees.md"])
def test_the_tests_that_a_page_names_exist(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 20
    for path, test in named:
        functions = {
            node.name
            for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        assert test in functions, f"{path} has no {test}"


def test_every_promise_names_a_test() -> None:
    page = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    for number in range(1, 11):
        section = page.split(f"\n## P{number} ")[1].split("\n## ")[0]
        assert re.search(r"`tests/[\w/]+\.py::\w+`", section), f"P{number} names no test"


def test_every_state_is_explained() -> None:
    page = (DOCS / "concepts.md").read_text(encoding="utf-8")
    states = page.split("\n## States")[1].split("\n## ")[0]
    rows = "".join(re.findall(r"^\| (`.*?) \|", states, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == {str(status) for status in Status}


@pytest.mark.parametrize("model", [FileChange, ChangeSet, ChangePlan], ids=lambda model: model.__name__)
def test_every_field_of_a_document_is_explained(model: type[BaseModel]) -> None:
    page = (DOCS / "concepts.md").read_text(encoding="utf-8")
    table = page.split(f"\n| {model.__name__} | |\n")[1].split("\n\n")[0]
    rows = "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == set(model.model_fields)


def test_the_picture_of_the_states_holds_every_state() -> None:
    picture = (DOCS / "images" / "states.svg").read_text(encoding="utf-8")
    assert {str(status) for status in Status} <= set(re.findall(r">(\w+)</text>", picture))
