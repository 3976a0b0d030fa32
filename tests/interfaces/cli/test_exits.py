"""The exit codes are a contract (DESIGN section 10)."""

import pytest

from lonelycat.errors import Category
from lonelycat.governance.policy import Verdict
from lonelycat.interfaces.cli.exits import BY_CATEGORY, BY_STATUS, BY_VERDICT, Exit, exit_of_execution
from lonelycat.lifecycle import OUTCOMES, Status


def test_the_numbers_are_the_contract() -> None:
    assert {exit.name: int(exit) for exit in Exit} == {
        "DONE": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "NEEDS_APPROVAL": 3,
        "REFUSED": 4,
        "CONFLICT": 5,
        "ROLLED_BACK": 6,
        "FROZEN": 7,
        "LOCK_TIMEOUT": 8,
        "INTERRUPTED": 130,
    }


def test_every_category_outcome_and_verdict_has_an_exit() -> None:
    assert set(BY_CATEGORY) == set(Category)
    assert set(BY_STATUS) >= OUTCOMES
    assert set(BY_VERDICT) == {str(verdict) for verdict in Verdict}


def test_only_success_is_zero() -> None:
    assert exit_of_execution(True, Status.COMPLETED, None) is Exit.DONE
    for status in OUTCOMES - {Status.COMPLETED}:
        assert exit_of_execution(False, status, None) is not Exit.DONE


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (Status.REJECTED, "CHECKSUM_MISMATCH", Exit.REFUSED),
        (Status.REJECTED, "LOCK_TIMEOUT", Exit.LOCK_TIMEOUT),
        (Status.CONFLICT, "PRECONDITION_FAILED", Exit.CONFLICT),
        (Status.ROLLED_BACK, "VERIFY_FAILED", Exit.ROLLED_BACK),
        (Status.ROLLED_BACK, "INTERRUPTED", Exit.INTERRUPTED),
        (Status.ROLLBACK_FAILED, "INTERRUPTED", Exit.FROZEN),
        (Status.INDETERMINATE, None, Exit.UNEXPECTED),
    ],
)
def test_what_an_execution_ends_with(status: Status, code: str | None, expected: Exit) -> None:
    assert exit_of_execution(False, status, code) is expected
