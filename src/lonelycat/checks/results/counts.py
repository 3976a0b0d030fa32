"""How many tests passed, failed, were skipped or broke, whatever told it.

Invariants:
- Counts are what was told, never guessed; ``problem`` says when what was told is not whole, and then nothing passes.
- Expected failures count as passed, as the runners mean them; a failure that was not expected counts as failed.
- A test that passed because its runner tried it again counts as passed, and that it did so is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TestCounts:
    """The counts of one run.

    Attributes:
        source: the format that told them, such as ``pytest``.
        errors: tests that could not be run to a verdict, or broke outside of a test.
        packages: whether ``passed`` and ``failed`` count packages of tests, where no more was told.
        problem: why the results are not whole, or None.
        reruns: how often the runner itself tried a failing test again.
    """

    __test__ = False

    source: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    errors: int = 0
    packages: bool = False
    problem: str | None = None
    reruns: int = 0

    @property
    def ran(self) -> int:
        """How many were run, with whatever verdict."""
        return self.passed + self.failed + self.errors

    @property
    def bad(self) -> int:
        """How many failed or broke."""
        return self.failed + self.errors

    def words(self) -> str:
        """Return for example ``12 passed, 1 skipped``."""
        unit = (" package" if self.passed == 1 else " packages") if self.packages else ""
        parts = [
            f"{self.failed} failed" if self.failed else "",
            f"{self.errors} error{'s' if self.errors > 1 else ''}" if self.errors else "",
            f"{self.passed}{unit} passed" if self.passed or not self.bad + self.skipped else "",
            f"{self.skipped} skipped" if self.skipped else "",
            f"{self.reruns} tried again" if self.reruns else "",
        ]
        return ", ".join(part for part in parts if part)

    def facts(self) -> dict[str, object]:
        """Return the counts as JSON-compatible facts."""
        return {
            "format": self.source,
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "errors": self.errors,
            "reruns": self.reruns,
            "counts": "packages" if self.packages else "tests",
        }


Reader = Callable[[str], TestCounts | None]
"""Reads the counts out of a command's output; None when it holds no results of that format."""


def added(all_counts: Iterable[TestCounts]) -> TestCounts | None:
    """Return the sum of counts, None of none; the sources are named in order."""
    counts = list(all_counts)
    if len(counts) < 2:
        return counts[0] if counts else None
    return TestCounts(
        "+".join(dict.fromkeys(one.source for one in counts)),
        sum(one.passed for one in counts),
        sum(one.failed for one in counts),
        sum(one.skipped for one in counts),
        sum(one.errors for one in counts),
        all(one.packages for one in counts),
        next((one.problem for one in counts if one.problem), None),
        sum(one.reruns for one in counts),
    )
