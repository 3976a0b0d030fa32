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
    "**/{test,tests}/{__init__.py,run.sh,runner.*,bootstrap.php,Pest.php}", "{spec,rails,test}_helper.{rb,exs}",
    "{.nycrc,.c8rc,.taprc}*", "{,.}codecov.{yml,yaml}", "tox.toml", ".simplecov",
)  # fmt: skip
NOT_CODE_GLOBS = (
    "*.{md,rst,txt,adoc,markdown,po,pot,png,jpg,jpeg,gif,svg,ico,webp,pdf}",
    "**/{doc,docs,changelog.d,newsfragments,.changeset,LICENSES}/**",
    "{CHANGELOG,CHANGES,HISTORY,NEWS,README,LICENSE,COPYING,AUTHORS,CONTRIBUTORS,NOTICE,VERSION}*",
    # But a program is code wherever it lies: a package may be called doc.
    "!*.{py,pyi,pyx,js,mjs,cjs,jsx,ts,mts,cts,tsx,go,rs,c,h,cc,cpp,hpp,java,kt,scala,groovy,swift,cs,rb,php,ex,exs,lua,pl,pm}",
    "!CMakeLists.txt",
)  # fmt: skip

_COMMENT = late_pattern(rb"^[ \t]*(?:#(?!!?\[|if 0)|//(?!go:build|[ ]?\+build)|--|;)[^\n]*", re.MULTILINE)
"""Lines that are comments; an attribute of Rust, a constraint on Go's build and ``#if 0`` are none."""
_ASSERTS = late_pattern(
    rb"\bassert\w*\b|\bexpect\w*\s*[(.]|\bEXPECT_\w+|\bASSERT_\w+|\.should\b|\.to[A-Z]\w+\(|\bt\.(?:Error|Fatal)"
    rb"|\b(?:raises|warns|deprecated_call)\(|\brequire\.\w+\(|\bpanics?\(|\bcheck\w*\("
)
_MARKS = late_pattern(
    rb"@(?:Parameterized|Repeated)?Test\b|\[(?:Fact|Theory|Test|TestCase|TestMethod|DataTestMethod)\b"
    rb"|#\[(?:\w+::)*(?:rs)?test\b"
)
"""What makes a test of a method or function, whatever its name."""
_SKIPS = late_pattern(
    rb"\bskip(?:if|_if|unless|Test|Unless|If)?\b|pragma: no cover|deselect|addopts"
    rb"|\bxfail\b|\bimportorskip\b|\bx(?:it|test|describe)\s*\(|\.only\s*\(|\.todo\s*\("
    rb"|\bt\.Skip|#\[ignore|@Ignore\b|@Disabled|GTEST_SKIP|expectedFailure|\bcollect_ignore|\bpytestmark\b|__test__"
    rb"|\bos\._exit\b|\bsys\.exit\b|\bprocess\.exit\b|\bos\.Exit\b|\bnocover\b"
    # Python: gone or taken away after it was defined, a fixture instead, nothing to run with, run until it passes
    rb"|^del[ ]+test|^test\w*[ ]*=[ ]*(?:None|0|False|lambda)\b|\bpop\([\"']test_|\bmark\.flaky\b"
    rb"|@(?:pytest\.)?fixture[^\n]*\n(?:async )?def test|\bparametrize\([^\n]{1,120},[ ]*(?:\[\]|\(\))[ ]*\)"
    # JavaScript; Go; Rust
    rb"|\bf(?:it|describe)\s*\(|\.(?:fails|failing|skipIf|runIf)\b|^//(?:go:build|[ ]?\+build)|\btesting\.Short\("
    rb"|\bfunc TestMain\b|#\[should_panic|#!\[cfg\((?!test\b)"
    rb"|#\[cfg\([^\n]{1,120}\n[ \t]*#\[(?:\w+::)*test\b|#\[test\][ \t]*\n[ \t]*#\[cfg\("
    rb"|\bcfg_attr\([^\n]{0,80}\bignore|^#if 0"
    # Ruby; Java and C#; PHP
    rb"|^[ \t]*x(?:it|test|specify|describe|context|feature|scenario)[ ]|^[ \t]*pending(?:[ \t]*$|[ ]+[\"'])"
    rb"|\bassum(?:e|ing)(?:True|False|That|NoException|Not)\b|\benabled\s*=\s*false|@Enabled\w+|\bSkip\s*=|[\[,]\s*Explicit\b"
    rb"|\[Ignore\b|\bmarkTest(?:Skipped|Incomplete)\b|\b(?:expectNotToPerform|doesNotPerform)Assertions\b"
    # shells
    rb"|\|\|[ \t]*(?:true|:|exit 0|return 0)[ \t]*(?:$|;|\))|^[ \t]*set \+e\b|^[ \t]*exit 0\b",
    re.MULTILINE,
)
_END = rb"[ \t]*(?:$|;|,|#)"
_EMPTY = late_pattern(
    rb"\bassert\s+(?:True|1\b|not\s+False|not\s+None|(?:\"[^\"\n]*\"|'[^'\n]*')\s*(?:$|,))|\bassert\s*\(\s*True|assertTrue\(\s*True"
    rb"|assertEqual\(\s*(?P<one>\w+)\s*,\s*(?P=one)\s*\)"
    rb"|\bassert[ ]+(?P<side>[^\n=]{1,120}?)[ ]*==[ ]*(?P=side)"
    + _END
    + rb"|expect\(\s*(?:true|1)\s*\)|assert\w*\([^()\n]*\|\|\s*true|\bor\s+True\b"
    rb"|\bassert\b[^\n]{1,200}[ ]or[ ](?:1|not False|not None)" + _END +
    # a tuple or a list that is not empty is true
    rb"|\bassert[ ]*\((?:[^()\n,]|\([^()\n]{0,120}\)){1,120},(?:[^()\n]|\([^()\n]{0,120}\)){0,120}\)[ \t]*(?:$|#)"
    rb"|\bassert[ ]*\[(?:[^\[\]\n]|\[[^\[\]\n]{0,120}\]){1,120}\][ \t]*(?:$|#)"
    rb"|\b(?:if|while)\s+(?:False|0)\s*:|\bfor\s+\w+\s+in\s+(?:\(\)|\[\])\s*:"
    # what catches the failure of an assertion
    rb"|\bexcept[ ]+\(?(?:\w+,[ ]*){0,4}(?:AssertionError|Exception|BaseException)\b"
    rb"|\bsuppress\([^)\n]{0,80}(?:AssertionError|Exception)\b(?=[,)])"
    rb"|\braises\(\s*\(?(?:\w+,[ ]*){0,4}(?:Exception|BaseException)\b"
    rb"|\bassert_?[tT]rue!?\(\s*true"
    rb"|^(?: {4}|\t)return(?:[ \t]+(?:None|0|True|False))?[ \t]{0,40};?[ \t]{0,40}(?:#[^\n]*)?$"
    rb"|\{[ ]*return[ ]*;|except(?:\s+\w+)?:\s*(?:pass|\.\.\.)\s*$"
    rb"|assert!\(\s*true"
    rb"|\bdef test\w*\([^)]*\)[^:\n]*:\s*\n(?:[ \t]*\"\"\"[^\"]*\"\"\"[ \t]*\n)?"
    rb"[ \t]+(?:pass|(?:return|yield)(?:[ \t]+\w+)?|\.\.\.|(?:async )?def [^\n]*)[ \t]*(?:#[^\n]*)?$",
    re.MULTILINE,
)


class Signs(NamedTuple):
    """How much a test file tests: marks of tests and assertions (more is better), skips and empty checks (less is)."""

    marks: int
    asserts: int
    skips: int
    empty: int


def read_signs(data: bytes) -> Signs:
    """Count the signs in ``data``, comment lines apart."""
    code = _COMMENT.sub(b"", data)
    return Signs(*(sum(1 for _ in pattern.finditer(code)) for pattern in (_MARKS, _ASSERTS, _SKIPS, _EMPTY)))


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
