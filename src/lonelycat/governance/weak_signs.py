"""What tests look like, and the signs that one was made to see less. Pure patterns over names and bytes.

Invariant: a sign is a number that can be compared before and after: what counts is the difference, so that a file
that always skipped on Windows does not cry wolf.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lonelycat.governance.matching import Matcher, compile_globs
from lonelycat.patterns import late_pattern

TEST_GLOBS = (
    "**/{test,tests,__tests__,spec,specs,testdata,e2e}/**",
    "test_*.{py,pyi,sh,c,cc,cpp,rb,php,lua,el}", "*_test.{py,go,c,cc,cpp,rs,rb,dart,exs,sh,php}", "*_spec.rb",
    "conftest.py", "*.t", "*.bats",
    "*.{test,spec}.{js,jsx,ts,tsx,mjs,cjs,mts,cts}", "*{Test,Tests,IT,Spec}.{java,kt,cs,swift,scala,groovy,php}",
)  # fmt: skip
JUDGE_CONFIGURATION = (
    "conftest.py", "{,.}pytest.{ini,toml}", ".coveragerc", "tox.ini", "noxfile.py",
    "{jest,vitest,karma,playwright,cypress}.*", ".mocharc*", ".rspec", "phpunit.xml*",
    "**/{test,tests}/{__init__.py,run.sh,runner.*}",
    ".nycrc*", "codecov.{yml,yaml}",
)  # fmt: skip
NOT_CODE_GLOBS = (
    "*.{md,rst,txt,adoc,markdown,po,pot,png,jpg,jpeg,gif,svg,ico,webp,pdf}",
    "**/{doc,docs,changelog.d,newsfragments,.changeset,LICENSES}/**",
    "{CHANGELOG,CHANGES,HISTORY,NEWS,README,LICENSE,COPYING,AUTHORS,CONTRIBUTORS,NOTICE,VERSION}*",
    # But a program is code wherever it lies: a package may be called doc.
    "!*.{py,pyi,pyx,js,mjs,cjs,jsx,ts,mts,cts,tsx,go,rs,c,h,cc,cpp,hpp,java,kt,scala,groovy,swift,cs,rb,php,ex,exs,lua,pl,pm}",
    "!CMakeLists.txt",
)  # fmt: skip

_COMMENT = late_pattern(rb"^[ \t]*(?:#|//|--|;)[^\n]*", re.MULTILINE)
_ASSERTS = late_pattern(
    rb"\bassert\w*\b|\bexpect\w*\s*[(.]|\bEXPECT_\w+|\bASSERT_\w+|\.should\b|\.to[A-Z]\w+\(|\bt\.(?:Error|Fatal)"
    rb"|\b(?:raises|warns|deprecated_call)\(|\brequire\.\w+\(|\bpanics?\(|\bcheck\w*\("
)
_TESTS = late_pattern(
    rb"\bdef test|\bfunc Test|#\[test\]|@Test\b|\b(?:it|test|specify)\s*\(|\bTEST(?:_[FP])?\(|@test\b"
)
_SKIPS = late_pattern(
    rb"\bskip(?:if|_if|unless|Test|Unless|If)?\b|pragma: no cover|deselect|addopts"
    rb"|\bxfail\b|\bimportorskip\b|\bx(?:it|test|describe)\s*\(|\.only\s*\(|\.todo\s*\("
    rb"|\bt\.Skip|#\[ignore|@Ignore\b|@Disabled\b|GTEST_SKIP|expectedFailure|\bcollect_ignore|\bpytestmark\b|__test__\s*=\s*False"
    rb"|\bos\._exit\b|\bsys\.exit\b|\bprocess\.exit\b|\bos\.Exit\b|\bnocover\b"
)
_EMPTY = late_pattern(
    rb"\bassert\s+(?:True|1\b|not\s+False|not\s+None|(?:\"[^\"\n]*\"|'[^'\n]*')\s*(?:$|,))|\bassert\s*\(\s*True|assertTrue\(\s*True"
    rb"|assertEqual\(\s*(\w+)\s*,\s*\1\s*\)"
    rb"|\bassert\s+(\w+)\s*==\s*\2\s*(?:$|[,#])|expect\(\s*(?:true|1)\s*\)|assert\w*\([^()\n]*\|\|\s*true|\bor\s+True\b"
    rb"|\bif\s+(?:False|0)\s*:"
    rb"|\bassert_?[tT]rue!?\(\s*true|^(?: {4}|\t)return[ \t]*;?[ \t]*$|except(?:\s+\w+)?:\s*(?:pass|\.\.\.)\s*$"
    rb"|assert!\(\s*true"
    rb"|\bdef test\w*\([^)]*\)[^:\n]*:\s*\n(?:[ \t]*\"\"\"[^\"]*\"\"\"[ \t]*\n)?[ \t]+(?:pass|return|\.\.\.)[ \t]*$",
    re.MULTILINE,
)


class Signs(NamedTuple):
    """How much a test file tests: tests and assertions (more is better), skips and empty checks (less is)."""

    tests: int
    asserts: int
    skips: int
    empty: int


def read_signs(data: bytes) -> Signs:
    """Count the signs in ``data``, comment lines apart."""
    code = _COMMENT.sub(b"", data)
    return Signs(*(sum(1 for _ in pattern.finditer(code)) for pattern in (_TESTS, _ASSERTS, _SKIPS, _EMPTY)))


def test_files() -> Matcher:
    """Return the matcher of names that test files have in the usual ecosystems."""
    return compile_globs(TEST_GLOBS)


def is_collected(path: str) -> bool:
    """Tell whether a runner finds ``path`` by its own name, wherever it lies."""
    return compile_globs(TEST_GLOBS[1:]).matches(path)


def judge_configuration() -> Matcher:
    """Return the matcher of files that decide which tests run and what counts as passing."""
    return compile_globs(JUDGE_CONFIGURATION)


def not_code() -> Matcher:
    """Return the matcher of files that no test judges: documents, pictures, translations, notices."""
    return compile_globs(NOT_CODE_GLOBS)
