"""Property tests come out the same in every run: on a busy machine, and with or without ``CI`` set."""

from __future__ import annotations

from hypothesis import settings


def test_no_example_has_a_deadline_and_no_run_has_examples_of_its_own() -> None:
    inherited = settings(max_examples=7)
    assert (inherited.deadline, inherited.derandomize, inherited.database) == (None, True, None)
