"""Commands that run when somebody merely installs, builds or tests the project, added to files mostly of other things.

The governance paths cover files whose every line has such power; here a line is what makes the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lonelycat.governance.facts import ChangeFacts
from lonelycat.governance.policy import Verdict
from lonelycat.governance.rules.base import Finding
from lonelycat.patterns import late_pattern

_HOOKS: dict[str, re.Pattern[bytes]] = {
    "package.json": late_pattern(rb'"(?:(?:pre|post)?(?:install|prepare)|prepublish|prepack)"\s*:\s*"'),
    "composer.json": late_pattern(rb'"(?:pre|post)-(?:install|update|autoload-dump|(?:root-)?package-install)'),
    "setup.py": late_pattern(
        rb"cmdclass|subprocess|os\.(?:system|popen|exec|spawn)|\b(?:exec|eval|compile|__import__)\s*\(|urlopen|requests\."
    ),
    "setup.cfg": late_pattern(rb"^\s*cmdclass\s*=|setup_requires", re.MULTILINE),
    "pyproject.toml": late_pattern(
        rb"^\s*(?:build-backend|backend-path)\s*=|build-hooks|hatch_build|\[tool\.[\w.-]*hooks", re.MULTILINE
    ),
    "conftest.py": late_pattern(
        rb"subprocess|os\.(?:system|popen|exec|spawn|_exit)|\b(?:exec|eval|compile|__import__)\s*\(|urlopen|socket\."
        rb"|\bdef pytest_\w+|\bpytest_plugins\b|collect_ignore|sys\.(?:exit|modules)|autouse|builtins|import_module"
    ),
    "binding.gyp": late_pattern(rb"<!|['\"]action['\"]"),
    "cargo.toml": late_pattern(rb"^\s*build\s*=", re.MULTILINE),
    "gemspec": late_pattern(rb"\.extensions"),
}  # fmt: skip


class InstallHooks:
    """Collects the files that come to hook into installation."""

    def __init__(self) -> None:
        self._hooked: list[str] = []

    def look(self, text: list[tuple[ChangeFacts, bytes]]) -> None:
        """Look at the lines that the members of ``text`` add."""
        for member, data in text:
            name = member.change.path.rpartition("/")[2].lower()
            pattern = _HOOKS.get(name) or (_HOOKS["gemspec"] if name.endswith(".gemspec") else None)
            if pattern and any(member.adds_line(match.start(), match.end()) for match in pattern.finditer(data)):
                self._hooked.append(member.change.path)

    def findings(self) -> Iterator[Finding]:
        """Report them."""
        if self._hooked:
            yield Finding(
                "INSTALL_HOOK", Verdict.NEED_APPROVAL, "builtin.install_hooks",
                "adds something that runs when the project is installed, built or tested",
                "A person has to look at what it runs.", tuple(self._hooked),
            )  # fmt: skip
