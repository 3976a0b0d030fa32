"""What judges and what is judged, among the paths of a change: the one notion of a test file. Pure.

A path is a test file if it is named like one, if it decides which tests run, or if a verification profile of the policy
says that it ``judges``. Code is what is neither that nor a document, a picture, a translation or a notice.
"""

from __future__ import annotations

from lonelycat.governance.facts import Facts
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Policy
from lonelycat.governance.weak_signs import judge_configuration, not_code, test_files


class Judges:
    """Tells what judges from what is judged, among the touched paths."""

    def __init__(self, facts: Facts, policy: Policy) -> None:
        named = compile_globs(glob for profile in policy.verification.values() for glob in profile.judges)
        self._configuration = frozenset(facts.select(judge_configuration()))
        self._tests = self._configuration.union(facts.select(test_files()), facts.select(named))
        self._not_code = frozenset(facts.select(not_code()))

    def is_test(self, path: str) -> bool:
        """Tell whether ``path`` is a file that a verification runs."""
        return path in self._tests

    def configures(self, path: str) -> bool:
        """Tell whether ``path`` decides which tests run and what counts as passing."""
        return path in self._configuration

    def is_code(self, path: str) -> bool:
        """Tell whether ``path`` is something that tests judge."""
        return path not in self._tests and path not in self._not_code
