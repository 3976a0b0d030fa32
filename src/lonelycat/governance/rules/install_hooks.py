"""Commands that run when somebody merely installs, builds or tests the project, added to files mostly of other things.

The governance paths cover files whose every line has such power; here a line is what makes the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lonelycat.changes.changeset import Operation
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
        self._hooked += [member.change.path for member, data in text if _hooks(member, data)]

    def findings(self, members: Sequence[ChangeFacts]) -> Iterator[Finding]:
        """Report them, and those among all ``members`` that get a name by which lines of theirs run."""
        moved = (member for member in members if not member.adds_bytes and _gets_power(member))
        hooked = self._hooked + [each.change.path for each in moved if each.new is None or _hooks(each, each.new)]
        if hooked:
            yield Finding(
                "INSTALL_HOOK", Verdict.NEED_APPROVAL, "builtin.install_hooks",
                "adds something that runs when the project is installed, built or tested",
                "A person has to look at what it runs.", tuple(hooked),
            )  # fmt: skip


def _hooks(member: ChangeFacts, data: bytes) -> bool:
    pattern = _pattern(member.change.path)
    if pattern is None:
        return False
    new_power = _gets_power(member)
    return any(new_power or member.adds_line(match.start(), match.end()) for match in pattern.finditer(data))


def _gets_power(member: ChangeFacts) -> bool:
    """Tell whether lines that were there before run now, because of the name that the file gets."""
    change = member.change
    if change.operation is not Operation.RENAME:
        return False
    pattern = _pattern(change.path)
    return pattern is not None and pattern is not _pattern(change.paths[0])


def _pattern(path: str) -> re.Pattern[bytes] | None:
    name = path.rpartition("/")[2].lower()
    return _HOOKS.get(name) or (_HOOKS["gemspec"] if name.endswith(".gemspec") else None)
