"""A policy for a workspace that nobody has written one for: safe at once, and quiet about everyday work.

Invariants:
- The text is valid under ``governance/policy.py`` and passes its own ``tests:``.
- Nothing that the workspace already tracks is forbidden outright; what is forbidden elsewhere is reviewed there.
- A command is only written where it can run here; otherwise it stands as a commented example, and the summary
  says so.
- Deterministic: the same listing gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lonelycat.governance.governed import GOVERNANCE_GLOBS
from lonelycat.governance.matching import compile_globs
from lonelycat.planner.path_kinds import PathKind
from lonelycat.planner.policy_sections import CATEGORIES, FORBIDDEN, Category
from lonelycat.planner.policy_text import block, comment, commented, flow, quoted, rows
from lonelycat.planner.survey import Survey, WorkspaceListing, survey
from lonelycat.planner.test_runners import TestRunner, find_runners

__all__ = ["FittedPolicy", "WorkspaceListing", "fit_policy"]

_META = frozenset("*?[]{}!\\")
_SHOWN = 4
_MOST_TRACKED = 40
_PLAIN = re.compile(r"(?:\w[\w.-]*/)*[\w.][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class FittedPolicy:
    """A policy and what it was fitted to.

    Attributes:
        text: YAML with comments for the maintainer.
        summary: one line for each thing that was found and decided.
    """

    text: str
    summary: tuple[str, ...]


def fit_policy(listing: WorkspaceListing) -> FittedPolicy:
    """Return a policy fitted to what ``listing`` holds."""
    found = survey(listing)
    runners = find_runners(listing, found)
    usable = next((runner for runner in runners if runner.usable), None)
    tracked = _tracked_forbidden(listing.paths)
    categories = _categories(found, tracked)
    lines = [
        *_head(found),
        *_executor(usable, categories, tracked),
        *_category_lines(categories),
        *_rules(found),
        *_checks(usable, runners, found),
        *_services(found),
        *_tests(found, categories),
    ]
    return FittedPolicy("\n".join(lines) + "\n", tuple(_summary(found, runners, usable, categories, tracked)))


def _tracked_forbidden(paths: Iterable[str]) -> tuple[str, ...]:
    """Return globs for the tracked paths that the usual list would forbid: they are here on purpose.

    One glob a path, or where that makes a long list, one a directory, as near to the files as keeps it short.
    """
    usual = compile_globs(tuple(glob for _, globs in FORBIDDEN for glob in globs), folds=True)
    hits = sorted({path for path in paths if path.isprintable() and usual.matches(path)})
    globs = [_escaped(path) for path in hits]
    depth = max((path.count("/") for path in hits), default=0)
    while len(globs) > _MOST_TRACKED and depth > 0:
        globs = sorted({_escaped(_above(path, depth)) for path in hits})
        depth -= 1
    return tuple(globs)


def _above(path: str, depth: int) -> str:
    """Return ``path``, or when it lies at least ``depth`` directories deep, the glob of its first ``depth`` ones."""
    directories = path.split("/")[:-1]
    return path if len(directories) < depth else "/".join((*directories[:depth], "**"))


def _categories(found: Survey, tracked: Sequence[str]) -> tuple[Category, ...]:
    schema = tuple(f"{directory}/**" for directory in found.migration_directories if not _META & set(directory))
    extra = [
        Category(
            "schema",
            "HIGH",
            "What data looks like; a rollback of files does not undo a migration that ran.",
            tuple(dict.fromkeys((*schema, "migrations/", "alembic/versions/**", "*.sql", "schema.prisma"))),
        )
    ]
    if tracked:
        extra.append(
            Category(
                "tracked-secrets",
                "HIGH",
                "Usually forbidden, but tracked here (mostly keys of tests), and so reviewed instead.",
                tuple(tracked),
            )
        )
    return (*CATEGORIES, *extra)


def _escaped(path: str) -> str:
    anchored, everything = (path if "/" in path else f"/{path}"), path.endswith("/**")
    body = anchored.removesuffix("**") if everything else anchored
    return "".join("?" if char in _META else char for char in body) + ("**" if everything else "")


def _head(found: Survey) -> list[str]:
    of = ", ".join(found.languages[:3]) or "no programming language that is known"
    return [
        "# What may change in this workspace, by whose leave, and what has to hold before a change is kept.",
        *comment(f"Written by `lonelycat init` for what it found here ({found.files} files; {of}). It is yours now."),
        "# `lonelycat policy test` checks it; `lonelycat policy explain` says which rule decides and why.",
        "version: 1",
        'name: "workspace"',
        "",
    ]


def _executor(usable: TestRunner | None, categories: Sequence[Category], tracked: Sequence[str]) -> list[str]:
    lines = [
        "executor:",
        '  allowed_paths: ["**"]',
        "  # A change that touches any of these is denied.",
        "  forbidden_paths:",
    ]
    for why, globs in FORBIDDEN:
        lines += [*comment(why, indent=4), *rows(globs, indent=4)]
    if tracked:
        lines += comment("Tracked here already, so reviewed (category tracked-secrets), not denied.", indent=4)
        lines += rows([f"!{glob}" for glob in tracked], indent=4)
    step, whole = (600, 1200) if usable else (60, 300)
    lines += [
        "  # Over any of these is denied; a larger change belongs in several.",
        "  constraints:",
        "    max_files_touched: 100",
        "    max_patch_lines: 10000",
        "    max_deletions: 50",
        f"    max_step_time: {step}         # seconds, for one check",
        f"    max_execution_time: {whole}   # seconds, for everything",
        "  require_verification_for_risk: [LOW, MEDIUM, HIGH, CRITICAL]",
        "  require_health_checks_for_risk: [MEDIUM, HIGH, CRITICAL]",
        "  require_rollback_plan_for_risk: [HIGH, CRITICAL]",
        *comment(
            "A change that touches one of these categories needs a person other than its proposer. So does, under "
            "every policy, one that touches this file, CI, agent or editor configuration, hooks or shell start-up.",
            indent=2,
        ),
        f"  always_review_categories: {flow(category.name for category in categories)}",
        "  concurrency: {enabled: true, lock_scope: repository, lock_timeout: 600}",
        '  idempotency: {enabled: true, key_format: "plan_id + changeset.checksum", cached_result_ttl: 3600}',
        "",
    ]
    return lines


def _category_lines(categories: Sequence[Category]) -> list[str]:
    lines = ["categories:"]
    for category in categories:
        lines += [f"  {category.name}:", f"    description: {quoted(category.about)}", f"    risk: {category.risk}"]
        lines += block("paths", category.globs, indent=4)
        if category.except_globs:
            lines += block("except_paths", category.except_globs, indent=4)
        if category.except_version_bumps:
            lines.append("    except_version_bumps: true   # the same names from the same sources, at higher versions")
    return [*lines, ""]


def _rules(found: Survey) -> list[str]:
    binary = [f"*{suffix}" for suffix in found.assets]
    return [
        "default_risk: LOW",
        "approval_for_risk: [HIGH, CRITICAL]",
        "",
        "# Raise the risk; all conditions of one have to hold.",
        "escalations:",
        "  - name: many-files",
        "    min_files: 40",
        "    risk: HIGH",
        '    reason: "More than one sitting can review."',
        "  - name: large-change",
        "    min_patch_lines: 3000",
        '    paths: ["**", "!*.svg", "!*.json", "!*.md", "!*.rst", "!*.txt"]',
        "    risk: HIGH",
        '    reason: "More than one sitting can review."',
        "  - name: a-few-files",
        "    min_files: 10",
        "    risk: MEDIUM",
        '    reason: "Enough to ask for health checks."',
        "",
        "content:",
        "  secrets: deny",
        "  bidirectional_text: deny",
        "  invisible_text: review",
        "  executable_bit: review",
        "  symlinks: review",
        "  escaping_symlinks: deny",
        "  binary: review",
        "  weakened_tests: review",
        *(["  # Images, fonts and the like that are kept here already."] if binary else []),
        *(block("binary_ok_paths", binary, indent=2) if binary else []),
        "",
        "# A person other than the proposer says yes, within a day; name approvers to narrow that.",
        "approvals:",
        "  quorum: {LOW: 1, MEDIUM: 1, HIGH: 1, CRITICAL: 1}",
        "  expires_after: 86400",
        "",
    ]


def _checks(usable: TestRunner | None, runners: Sequence[TestRunner], found: Survey) -> list[str]:
    lines = [
        "# Commands that have to succeed after a change is applied; a plan names them, only this file defines them.",
        "verification:",
        "  syntax:",
        '    description: "Every changed file that has a syntax is well-formed."',
        '    argv: ["{python}", "-P", "-m", "lonelycat.checks.syntax", "{changed_files}"]',
        '    touches: ["**"]',
        "    no_tests:",
        "      require_output_pattern: '^[1-9]\\d* files examined'",
    ]
    for runner in runners[:1] if usable is None else (usable,):
        profile = list(_profile(runner, found))
        if runner.usable:
            lines += profile
        else:
            lines += comment(f"Not usable here yet: {runner.evidence}. Uncomment it when it is.", indent=2)
            lines += commented(profile)
    lines += [
        "",
        "health_checks:",
        "  workspace-writable:",
        '    description: "The workspace is there, can be written, and has 64 MiB free."',
        "    kind: file",
        '    with: {path: ".", type: directory, writable: true, min_free_bytes: 67108864}',
        "",
    ]
    return lines


def _profile(runner: TestRunner, found: Survey) -> Iterator[str]:
    prose = ["!*.md", "!*.rst", *(f"!{each}/**" for each in found.docs_directories[:_SHOWN] if not _META & set(each))]
    yield "  tests:"
    yield f"    description: {quoted(f'The tests, by {runner.name}.')}"
    yield f"    argv: {flow(runner.argv)}"
    yield f"    touches: {flow(['**', *prose])}"
    if runner.configuration:
        yield f"    judges: {flow(runner.configuration)}"
    yield "    timeout: 600"
    if runner.results_format is not None:
        yield f"    results: {{format: {runner.results_format}}}"
    yield "    no_tests:"
    if runner.no_test_exit_codes:
        yield f"      exit_codes: {flow(runner.no_test_exit_codes)}"
    if runner.no_test_patterns:
        yield f"      output_patterns: {flow(runner.no_test_patterns)}"
    if runner.required_pattern is not None:
        yield f"      require_output_pattern: {quoted(runner.required_pattern)}"


def _services(found: Survey) -> list[str]:
    if not found.service_hints:
        return []
    about = (
        f"{', '.join(found.service_hints[:_SHOWN])} hint at something that runs. If a change here has to restart it:"
    )
    example = [
        "services:",
        "  web:",
        "    kind: command",
        '    with: {argv: ["systemctl", "restart", "web"]}',
        '    touches: ["src/**"]',
        "    health_checks: [web]",
    ]
    return [*comment(about), *commented(example), ""]


def _tests(found: Survey, categories: Sequence[Category]) -> list[str]:
    reviewed = compile_globs((*GOVERNANCE_GLOBS, *(glob for category in categories for glob in category.globs)))
    lines = ["# What this policy is meant to say, run by `lonelycat policy test`.", "tests:"]
    for kind, name in ((PathKind.DOCUMENTATION, "docs"), (PathKind.SOURCE, "source"), (PathKind.TESTS, "tests")):
        path = _typical(path for path in found.of(kind) if not reviewed.matches(path))
        if path is not None:
            lines += _example(f"{name} may change", path, "ALLOW")
    for category in categories:
        own = compile_globs(category.globs)
        held = _typical(path for members in found.by_kind.values() for path in members if own.matches(path))
        if held is not None and category.name != "tracked-secrets":
            lines += _example(f"{category.name} needs a person", held, "NEED_APPROVAL")
    lines += _example("the policy itself needs a person", "agent/policies/default.yaml", "NEED_APPROVAL")
    if not found.env_files:
        lines += _example("secrets stay out", ".env", "DENY")
    return lines


def _typical(paths: Iterable[str]) -> str | None:
    """Return the plainest path: few directories, short, and of nothing but letters, digits, ``_``, ``.`` and ``-``."""
    return min(filter(_PLAIN.fullmatch, paths), key=lambda path: (path.count("/"), len(path), path), default=None)


def _example(name: str, path: str, verdict: str) -> list[str]:
    return [
        f"  - name: {quoted(name)}",
        f'    changes: [{{operation: update, path: {quoted(path)}, old: "one\\n", content: "one\\ntwo\\n"}}]',
        f"    expect: {verdict}",
    ]


def _summary(
    found: Survey,
    runners: Sequence[TestRunner],
    usable: TestRunner | None,
    categories: Sequence[Category],
    tracked: Sequence[str],
) -> Iterator[str]:
    yield f"{found.files} files; languages: {', '.join(found.languages[:5]) or 'none known'}"
    if usable is not None:
        yield f"verification: syntax of what changed, and the tests by {usable.name} ({usable.evidence})"
    else:
        yield "verification: syntax of what changed only"
    for runner in runners:
        if not runner.usable:
            yield f"{runner.name} is not used ({runner.evidence}); the policy holds it as a commented example"
        elif runner is not usable:
            yield f"{runner.name} could run too ({runner.evidence}); add a profile for it if it should"
    if not runners:
        yield "no way to run tests was found; add a profile to `verification` when there is one"
    for what, paths in (
        ("lock files", found.locks),
        ("continuous integration", found.of(PathKind.CI)),
        ("migrations", found.migration_directories),
        ("tracked keys and secrets", tracked),
    ):
        if paths:
            yield f"reviewed: {what} ({_list(paths)})"
    yield f"reviewed in all: {', '.join(category.name for category in categories)}"
    if found.docs_directories or found.test_directories:
        yield f"free: source, docs and tests ({_list((*found.docs_directories, *found.test_directories))})"
    if found.service_hints:
        yield f"services: {_list(found.service_hints)} hint at some; none is restarted until the policy says how"


def _list(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
