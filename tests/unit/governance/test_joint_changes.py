"""Which part of a change is tests that were there before, and which is what they judge."""

from __future__ import annotations

from typing import Any

import pytest

from lonelycat import FileChange
from lonelycat.governance.joint_changes import joint_change
from lonelycat.governance.policy import Policy

CODE = FileChange.update("src/shop.py", "a", "b")


def _policy(*judges: str) -> Policy:
    document: dict[str, Any] = {
        "version": 1,
        "name": "p",
        "executor": {"allowed_paths": ["**"]},
        "verification": {"tests": {"argv": ["true"], "judges": list(judges)}},
    }
    return Policy.model_validate(document)


def _split(*changes: FileChange, judges: tuple[str, ...] = ()) -> tuple[list[str], list[str]] | None:
    joint = joint_change(changes, _policy(*judges))
    return None if joint is None else (list(joint.left_out), [each.path for each in joint.rest])


@pytest.mark.parametrize(
    "test",
    [
        FileChange.update("tests/test_shop.py", "a", "b"),
        FileChange.delete("tests/test_shop.py", "a"),
        FileChange.rename("tests/test_shop.py", "tests/test_store.py", "a"),
        FileChange.rename("test_shop.py", "src/store.py", "a"),
        FileChange.update("shop_test.go", "a", "b"),
        FileChange.update("src/shop.spec.ts", "a", "b"),
        FileChange.update("tests/data/expected.json", "1", "2"),
        FileChange.update("conftest.py", "a", "b"),
        FileChange.update("pytest.ini", "a", "b"),
        FileChange.update(".pytest.ini", "a", "b"),
        FileChange.update(".pytest.toml", "a", "b"),
        FileChange.update("tests/run.sh", "a", "a", new_mode="100755"),
    ],
    ids=lambda change: f"{change.operation} {change.paths[0]}",
)
def test_a_test_that_was_there_before_is_left_out(test: FileChange) -> None:
    assert _split(test, CODE) == (sorted(test.paths), ["src/shop.py"])
    joint = joint_change([CODE, test], _policy())
    assert joint is not None and joint.rewritten == (test.paths[0],)


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [CODE],
        [CODE, FileChange.update("src/other.py", "a", "b")],
        [CODE, FileChange.update("README.md", "a", "b")],
        [CODE, FileChange.create("tests/test_new.py", "a"), FileChange.create("conftest.py", "a")],
        [FileChange.update("tests/test_shop.py", "a", "b"), FileChange.update("docs/shop.rst", "a", "b")],
        [FileChange.update("tests/test_a.py", "a", "b"), FileChange.delete("tests/test_b.py", "a")],
        [FileChange.rename("tests/test_a.py", "src/a.py", "a")],
        [FileChange.update("tests/test_a.py", "a", "b"), FileChange.create("tests/helper.py", "a")],
    ],
    ids=lambda changes: ", ".join(f"{each.operation} {each.path}" for each in changes) or "nothing",
)
def test_what_is_no_joint_change(changes: list[FileChange]) -> None:
    assert _split(*changes) is None


def test_new_tests_go_and_new_data_stays() -> None:
    new = [
        FileChange.create(path, "a")
        for path in (
            "tests/test_new.py",
            "tests/conftest.py",
            "tests/__init__.py",
            "tests/data/new.json",
            "tests/lib.py",
        )
    ]
    old = FileChange.update("tests/test_shop.py", "a", "b")
    left_out = ["tests/__init__.py", "tests/conftest.py", "tests/test_new.py", "tests/test_shop.py"]
    assert _split(*new, old, CODE) == (left_out, ["tests/data/new.json", "tests/lib.py", "src/shop.py"])


@pytest.mark.parametrize("new", ["conftest.py", "tests/test_new.py", "pytest.ini"])
def test_what_becomes_a_test_is_new_and_what_it_was_is_gone(new: str) -> None:
    """A file that is moved to where it is a test would stay in the run of the old ones, and could speak for them."""
    moved, old = FileChange.rename("src/spare.py", new, "a"), FileChange.update("tests/test_shop.py", "a", "b")
    joint = joint_change([moved, old, CODE], _policy())
    assert joint is not None and joint.rewritten == ("tests/test_shop.py",)
    assert joint.left_out == (new, "tests/test_shop.py")
    rest = [(each.operation.value, each.path) for each in joint.rest]
    assert rest == [("delete", "src/spare.py"), ("update", "src/shop.py")]
    assert _split(moved, old) == ([new, "tests/test_shop.py"], ["src/spare.py"]), (
        "code that is gone is a change of code"
    )


def test_the_policy_says_what_judges() -> None:
    check = FileChange.update("ci/check.py", "a", "b")
    assert _split(check, CODE) is None
    assert _split(check, CODE, judges=("ci/**",)) == (["ci/check.py"], ["src/shop.py"])


def test_code_that_comes_from_or_goes_to_a_document_is_code() -> None:
    moved = FileChange.rename("src/shop.py", "docs/shop.md", "a")
    assert _split(moved, FileChange.update("tests/test_shop.py", "a", "b")) is not None


@pytest.mark.parametrize("path", ["docs/pages.py", "src/doc/reader.go", "README.py", "VERSION.rb", "CMakeLists.txt"])
def test_a_program_is_code_wherever_it_lies(path: str) -> None:
    """A package may be called doc; and a test that did not need the program passes as before."""
    test = FileChange.update("tests/test_pages.py", "a", "b")
    assert _split(FileChange.update(path, "a", "b"), test) == (["tests/test_pages.py"], [path])


def test_a_new_configuration_goes_by_any_of_its_names() -> None:
    new = [FileChange.create(name, "a") for name in (".pytest.ini", ".pytest.toml", "pytest.ini", "pytest.toml")]
    split = _split(*new, FileChange.update("tests/test_shop.py", "a", "b"), CODE)
    assert split is not None and split[1] == ["src/shop.py"]


def test_rewritten_names_what_was_there_sorted() -> None:
    changes = [
        FileChange.delete("tests/test_b.py", "x"),
        FileChange.create("tests/test_c.py", "x"),
        FileChange.rename("tests/test_a.py", "tests/test_z.py", "x"),
    ]
    joint = joint_change([*changes, CODE], _policy())
    assert joint is not None and joint.rewritten == ("tests/test_a.py", "tests/test_b.py")
    assert joint.left_out == ("tests/test_a.py", "tests/test_b.py", "tests/test_c.py", "tests/test_z.py")
