from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lonelycat.changes.paths import check_path
from lonelycat.errors import PathError
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_file import load_policy
from lonelycat.governance.policy_tests import run_policy_tests
from lonelycat.planner.fitting import FittedPolicy, fit_policy
from lonelycat.planner.survey import WorkspaceListing

ALL_TOOLS = frozenset({"pytest", "python3", "npm", "go", "cargo", "make", "python"})


def _fit(
    files: dict[str, bytes], tools: frozenset[str] = ALL_TOOLS, untracked: dict[str, bytes] | None = None
) -> FittedPolicy:
    def why_not(argv: tuple[str, ...]) -> str | None:
        name = argv[0].rpartition("/")[2]
        return None if name in tools else f"{name} is not on PATH"

    return fit_policy(WorkspaceListing(tuple(files), {**files, **(untracked or {})}.get, why_not))


def _policy(fitted: FittedPolicy) -> Policy:
    loaded = load_policy(fitted.text.encode())
    failed = [result for result in run_policy_tests(loaded) if not result.passed]
    assert not failed, failed
    return loaded.policy


PYTEST = {"pyproject.toml": b"[tool.pytest.ini_options]\n", "src/a.py": b"", "tests/test_a.py": b"import pytest\n"}


def test_an_empty_workspace_gets_a_policy_that_loads() -> None:
    policy = _policy(_fit({}))
    assert list(policy.verification) == ["syntax"]
    assert policy.verification["syntax"].touches == ("**",)
    assert "workspace-writable" in policy.health_checks


def test_pytest_in_a_virtual_environment_is_preferred() -> None:
    profile = _policy(_fit(PYTEST, untracked={".venv/bin/pytest": b"#!"})).verification["tests"]
    assert profile.argv == ("{workspace}/.venv/bin/python", "-m", "pytest", "-q")
    assert profile.no_tests.exit_codes == (5,)


def test_a_virtual_environment_that_does_not_run_is_passed_over() -> None:
    untracked = {".venv/bin/pytest": b"#!"}
    profile = _policy(_fit(PYTEST, frozenset({"pytest"}), untracked)).verification["tests"]
    assert profile.argv == ("pytest", "-q")
    neither = _fit(PYTEST, frozenset(), untracked)
    assert "tests" not in _policy(neither).verification
    assert any(".venv/bin/pytest exists, but" in line and "pytest is not on PATH" in line for line in neither.summary)


@pytest.mark.parametrize(
    ("files", "tool", "argv"),
    [
        (PYTEST, "pytest", ("pytest", "-q")),
        ({"tests/test_a.py": b"import unittest\n"}, "python3", ("python3", "-m", "unittest", "discover")),
        ({"package.json": b'{"scripts": {"test": "node --test"}}'}, "npm", ("npm", "test", "--silent")),
        ({"go.mod": b"", "a_test.go": b""}, "go", ("go", "test", "./...")),
        ({"Cargo.toml": b"", "Cargo.lock": b""}, "cargo", ("cargo", "test", "--workspace", "--locked")),
        ({"Makefile": b"all:\n\ttrue\ntest: all\n\ttrue\n"}, "make", ("make", "test")),
    ],
)
def test_a_runner_is_used_only_when_it_can_run(files: dict[str, bytes], tool: str, argv: tuple[str, ...]) -> None:
    profile = _policy(_fit(files, frozenset({tool}))).verification["tests"]
    assert profile.argv == argv
    assert profile.results.format == {"pytest": "pytest", "python3": "unittest", "go": "go_test"}.get(tool, "auto")
    without = _fit(files, ALL_TOOLS - {tool})
    assert "tests" not in _policy(without).verification
    assert any("is not used" in line for line in without.summary)


def test_the_commented_example_is_valid_once_uncommented() -> None:
    text = _fit(PYTEST, frozenset()).text
    lines = [
        line.replace("# ", "", 1) if line.startswith(("  # tests:", "    # ", "      # ")) else line
        for line in text.splitlines()
    ]
    start = next(index for index, line in enumerate(lines) if line == "  tests:")
    assert start < lines.index("health_checks:")
    forbidden = text.index("  forbidden_paths:")
    uncommented = text[:forbidden] + "\n".join(
        [*text[forbidden:].splitlines()[: start - text[:forbidden].count("\n")], *lines[start:]]
    )
    assert load_policy(uncommented.encode()).policy.verification["tests"].argv == ("pytest", "-q")


@pytest.mark.parametrize(
    "package",
    [
        b'{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}',
        b"{",
        b"[]",
        b'{"scripts": 1}',
        b"\xff",
    ],
)
def test_what_is_no_test_script_is_none(package: bytes) -> None:
    assert "tests" not in _policy(_fit({"package.json": package})).verification


def test_npm_needs_its_modules() -> None:
    files = {"package.json": b'{"scripts": {"test": "jest"}, "devDependencies": {"jest": "1"}}'}
    assert "tests" not in _policy(_fit(files)).verification
    assert "tests" in _policy(_fit(files, untracked={"node_modules/.package-lock.json": b"{}"})).verification


def test_what_is_tracked_is_reviewed_and_not_forbidden() -> None:
    policy = _policy(_fit({"tests/certs/server.key": b"", ".env": b"", "a[1]{b}.pem": b"", "src/a.py": b""}))
    forbidden = compile_globs(policy.executor.forbidden_paths, folds=True)
    reviewed = compile_globs(policy.categories["tracked-secrets"].paths)
    for path in ("tests/certs/server.key", ".env", "a[1]{b}.pem"):
        assert not forbidden.matches(path) and reviewed.matches(path)
    for path in ("tests/certs/other.key", "deploy/.env", ".env.local", "server.pem"):
        assert forbidden.matches(path) and not reviewed.matches(path)
    assert "tracked-secrets" in policy.executor.always_review_categories


def test_many_tracked_files_become_few_globs() -> None:
    policy = _policy(_fit({f"node_modules/m{number}/index.js": b"" for number in range(500)}))
    assert policy.categories["tracked-secrets"].paths == ("node_modules/**",)


def test_migrations_where_they_are_become_schema() -> None:
    policy = _policy(_fit({"shop/db/migrate/001_start.rb": b""}))
    assert compile_globs(policy.categories["schema"].paths).matches("shop/db/migrate/002_next.rb")


def test_the_order_of_the_paths_does_not_matter() -> None:
    files = {**PYTEST, "uv.lock": b"", "docs/a.md": b"", "b.png": b""}
    assert _fit(files) == _fit(dict(reversed(files.items())))


_NAMES = st.text(alphabet='ab.env"\\#:{}[]*?!&%@` -é\u202e\udc80\n', min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(_NAMES, _NAMES.map(lambda name: f"{name}/.env"), _NAMES.map(lambda name: f"{name}.py")), max_size=6
    )
)
def test_no_name_of_a_file_breaks_the_policy(names: list[str]) -> None:
    def safe(path: str) -> bool:
        try:
            return bool(check_path(path))
        except PathError:
            return False

    _policy(_fit({name: b"" for name in names if safe(name)}))
