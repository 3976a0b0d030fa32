"""Commands that run when somebody merely installs, builds or tests the project, added to files mostly of other things.

The governance paths cover files whose every line has such power; here a line is what makes the difference. And a
module that comes to stand in front of one of the standard library's, or of the tools that run tests: an interpreter
that is started at the root looks there first, so that ``python -m pytest`` runs a ``pytest.py`` of the workspace.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

from lonelycat.changes.changeset import FileChange, Operation
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
        shadowing = [member.change.path for member in members if _shadows(member.change)]
        moved = (member for member in members if not member.adds_bytes and _gets_power(member))
        by_name = [each.change.path for each in moved if each.new is None or _hooks(each, each.new)]
        hooked = self._hooked + shadowing + by_name
        if hooked:
            yield Finding(
                "INSTALL_HOOK", Verdict.NEED_APPROVAL, "builtin.install_hooks",
                "adds something that runs when the project is installed, built or tested",
                "A person has to look at what it runs.", tuple(dict.fromkeys(hooked)),
            )  # fmt: skip


_TEST_TOOLS = frozenset({
    "pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "exceptiongroup", "tomli", "xdist", "execnet",
    "coverage", "pytest_cov", "pytest_asyncio", "anyio", "hypothesis", "nose", "nose2", "tox", "nox", "pip",
    "setuptools",
    "pkg_resources", "wheel", "typing_extensions",
})  # fmt: skip
_IMPORTED_FIRST = re.compile(r"(?:src/)?(?P<module>[^/.]+)(?:\.[^/]*|/__init__\.[^/]*)")


def _shadows(change: FileChange) -> bool:
    """Tell whether a module comes to a place where it is imported in place of a known one."""
    if change.operation not in (Operation.CREATE, Operation.RENAME):
        return False
    match = _IMPORTED_FIRST.fullmatch(change.path)
    if match is None or not change.path.lower().endswith((".py", ".so", ".pyd")):
        return False
    module = match["module"].lower()
    return module in _TEST_TOOLS or (module in sys.stdlib_module_names and module != "test")


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
