"""Whether every rule of a policy can mean something: names that exist, globs that parse, conditions that can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lonelycat.errors import PolicyError
from lonelycat.governance.globs import check_glob
from lonelycat.governance.policy import Escalation, Policy, Verdict, Window
from lonelycat.governance.policy_profiles import VerificationProfile
from lonelycat.governance.rules.codes import CODES
from lonelycat.governance.strict_yaml import Location


class Problem(NamedTuple):
    """A rule that cannot mean anything, and where it stands in the policy."""

    code: str
    location: Location
    message: str
    hint: str


def problems(policy: Policy) -> list[Problem]:
    """Return everything that is wrong with ``policy`` although it has the right shape."""
    return [
        *_globs(policy),
        *_names(policy),
        *_services(policy),
        *_escalations(policy),
        *_windows(policy),
        *_exceptions(policy),
        *_watch(policy),
        *_rest(policy),
    ]


def _globs(policy: Policy) -> Iterator[Problem]:
    executor, content = policy.executor, policy.content
    lists: list[tuple[Location, Sequence[str]]] = [
        (("executor", "allowed_paths"), executor.allowed_paths),
        (("executor", "forbidden_paths"), executor.forbidden_paths),
        (("content", "binary_ok_paths"), content.binary_ok_paths),
        (("content", "secrets_ok_paths"), content.secrets_ok_paths),
    ]
    for name, category in policy.categories.items():
        lists.append((("categories", name, "paths"), category.paths))
        lists.append((("categories", name, "except_paths"), category.except_paths))
    for name, profile in policy.verification.items():
        lists.append((("verification", name, "touches"), profile.touches))
        lists.append((("verification", name, "judges"), profile.judges))
        lists.append((("verification", name, "sandbox", "writes"), profile.sandbox.writes))
    lists.extend((("health_checks", name, "touches"), check.touches) for name, check in policy.health_checks.items())
    lists.extend((("services", name, "touches"), service.touches) for name, service in policy.services.items())
    lists.extend((("escalations", i, "paths"), item.paths) for i, item in enumerate(policy.escalations))
    lists.extend((("windows", i, "paths"), item.paths) for i, item in enumerate(policy.windows))
    lists.extend((("exceptions", i, "paths"), item.paths) for i, item in enumerate(policy.exceptions))
    for location, globs in lists:
        yield from _glob_list(location, globs)


def _glob_list(location: Location, globs: Sequence[str]) -> Iterator[Problem]:
    for index, glob in enumerate(globs):
        try:
            check_glob(glob)
        except PolicyError as error:
            yield Problem(error.code, (*location, index), error.message, error.hint)
        if glob in globs[:index]:
            yield Problem("POLICY_UNREACHABLE", (*location, index), f"{glob!r} stands twice", "Keep one.")
    if globs and globs[0].startswith("!"):
        yield Problem(
            "POLICY_UNREACHABLE",
            (*location, 0),
            "a list that starts with '!' takes nothing back",
            "Put it after what it excepts.",
        )


def _names(policy: Policy) -> Iterator[Problem]:
    for index, name in enumerate(policy.executor.always_review_categories):
        if name not in policy.categories:
            location = ("executor", "always_review_categories", index)
            yield _unknown(location, "category", name, policy.categories)
    for service, spec in policy.services.items():
        for index, name in enumerate(spec.health_checks):
            if name not in policy.health_checks:
                yield _unknown(
                    ("services", service, "health_checks", index), "health check", name, policy.health_checks
                )
    for index, code in enumerate(policy.shadow):
        if code not in CODES or not CODES[code].liftable:
            yield _not_liftable(("shadow", index), code)
    for index, test in enumerate(policy.tests):
        for position, code in enumerate(test.reasons):
            if code not in CODES:
                yield _unknown(("tests", index, "reasons", position), "reason code", code, CODES)


def _services(policy: Policy) -> Iterator[Problem]:
    for name, service in policy.services.items():
        for index, other in enumerate(service.after):
            if other not in policy.services:
                yield _unknown(("services", name, "after", index), "service", other, policy.services)
        if service.ready_timeout is not None and not service.health_checks:
            yield _unreachable(("services", name, "ready_timeout"), "waits for health_checks, and there are none")
    for name, database in policy.health_test.databases.items() if policy.health_test else ():
        if database.service not in policy.services:
            where = ("health_test", "databases", name, "service")
            yield _unknown(where, "service", database.service, policy.services)
    yield from _circles(policy)


def _circles(policy: Policy) -> Iterator[Problem]:
    import graphlib

    try:
        graphlib.TopologicalSorter({name: service.after for name, service in policy.services.items()}).prepare()
    except graphlib.CycleError as error:
        *circle, _ = reversed(error.args[1])
        first = next(name for name in policy.services if name in circle)
        shown = " after ".join([*circle[circle.index(first) :], *circle[: circle.index(first)], first])
        hint = "Take one of them out of the circle."
        yield Problem("POLICY_CIRCLE", ("services", first, "after"), f"goes in a circle: {shown}", hint)


def _unknown(location: Location, kind: str, name: str, known: object) -> Problem:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)  # type: ignore[call-overload]  # any iterable of names
    hint = f"Did you mean {close[0]}?" if close else f"Define the {kind}, or remove the name."
    return Problem("POLICY_UNKNOWN_NAME", location, f"{name} is not a {kind} that exists", hint)


def _not_liftable(location: Location, code: str) -> Problem:
    if code not in CODES:
        return _unknown(location, "reason code", code, CODES)
    return Problem("POLICY_NOT_LIFTABLE", location, f"{code} holds under every policy", "Remove it.")


def _escalations(policy: Policy) -> Iterator[Problem]:
    limits = policy.executor.constraints
    for index, item in enumerate(policy.escalations):
        where = ("escalations", index)
        if item.risk <= policy.default_risk:
            yield _unreachable((*where, "risk"), f"{item.risk.name} is no more than default_risk")
        if item.min_files and item.min_files > limits.max_files_touched:
            yield _unreachable((*where, "min_files"), "more than max_files_touched, which is denied anyway")
        if item.min_patch_lines and item.min_patch_lines > limits.max_patch_lines:
            yield _unreachable((*where, "min_patch_lines"), "more than max_patch_lines, which is denied anyway")
        for earlier in policy.escalations[:index]:
            if earlier.name == item.name:
                yield _unreachable((*where, "name"), f"the name {item.name} stands twice")
            elif _covers(earlier, item):
                yield _unreachable(where, f"{earlier.name} has the same conditions and raises at least as far")


def _covers(earlier: Escalation, later: Escalation) -> bool:
    same = set(earlier.paths) == set(later.paths) and set(earlier.operations) == set(later.operations)
    lower = (earlier.min_files or 1) <= (later.min_files or 1) and (earlier.min_patch_lines or 1) <= (
        later.min_patch_lines or 1
    )
    return same and lower and earlier.risk >= later.risk and earlier.mode is later.mode


def _windows(policy: Policy) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, window in enumerate(policy.windows):
        where = ("windows", index)
        if window.name in seen:
            yield _unreachable((*where, "name"), f"the name {window.name} stands twice")
        seen.add(window.name)
        if window.from_date and window.to_date and window.from_date > window.to_date:
            yield _unreachable((*where, "to_date"), "ends before it starts")
        if window.start is not None and window.start == window.end:
            yield _unreachable((*where, "end"), "starts and ends at the same time")
        yield from _timezone(where, window)


def _timezone(where: Location, window: Window) -> Iterator[Problem]:
    if window.timezone == "UTC":
        return
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(window.timezone)
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        yield Problem("POLICY_TIMEZONE", (*where, "timezone"), f"{window.timezone!r:.80}: {error}", "Use an IANA name.")
    except KeyError:
        yield Problem(
            "POLICY_TIMEZONE", (*where, "timezone"), f"no time zone {window.timezone!r:.80}", "Use an IANA name."
        )


def _exceptions(policy: Policy) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, item in enumerate(policy.exceptions):
        where = ("exceptions", index)
        if item.name in seen:
            yield _unreachable((*where, "name"), f"the name {item.name} stands twice")
        seen.add(item.name)
        for key, value in (("rules", item.rules), ("paths", item.paths)):
            if not value:
                yield _unreachable((*where, key), "names nothing, so nothing is excepted")
        for position, code in enumerate(item.rules):
            if code not in CODES or not CODES[code].liftable:
                yield _not_liftable((*where, "rules", position), code)


def _watch(policy: Policy) -> Iterator[Problem]:
    executor, where = policy.executor, ("executor", "watch")
    watch, limits = executor.watch, executor.constraints
    if not watch.seconds:
        if executor.confirm is None:
            for key in sorted(watch.model_fields_set & {"interval", "failure_budget"}):
                yield _unreachable((*where, key), "nothing is watched: seconds is 0 and nobody is asked to confirm")
        return
    if not policy.health_checks:
        yield _unreachable((*where, "seconds"), "the policy defines no health check that could be watched")
    if watch.interval > watch.seconds:
        yield _unreachable((*where, "interval"), "is longer than the whole watch, so nothing is sampled")
    if watch.seconds >= limits.max_execution_time:
        yield _unreachable(
            (*where, "seconds"), "is not less than constraints.max_execution_time, so every change fails"
        )
    most = math.ceil(watch.seconds / watch.interval) * max(1, len(policy.health_checks))
    if executor.confirm is None and watch.failure_budget >= most:
        yield _unreachable((*where, "failure_budget"), f"forgives all of the {most} samples, so the watch cannot fail")


def _rest(policy: Policy) -> Iterator[Problem]:
    if not policy.executor.allowed_paths:
        yield _unreachable(("executor", "allowed_paths"), "allows nothing, so everything is denied")
    for level in policy.approvals.quorum:
        named, needed = len(policy.approvals.approvers), policy.approvals.quorum[level]
        if named and needed > named:
            yield _unreachable(("approvals", "quorum", level), f"asks for {needed} people and names {named}")
    if not policy.approvals.methods:
        yield _unreachable(("approvals", "methods"), "names no way to approve")
    for name, profile in policy.verification.items():
        yield from _sandbox(policy, name, profile)
        patterns = [*enumerate(profile.no_tests.output_patterns)]
        if profile.no_tests.require_output_pattern is not None:
            patterns.append((-1, profile.no_tests.require_output_pattern))
        for _, pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                yield Problem(
                    "POLICY_BAD_PATTERN",
                    ("verification", name, "no_tests"),
                    f"{pattern!r:.80}: {error}",
                    "Fix the expression.",
                )
    for name, check in policy.health_checks.items():
        levels = check.required_for_risk
        for index in range(len(levels)):
            if levels[index] in levels[:index]:
                yield _unreachable(("health_checks", name, "required_for_risk", index), "the level stands twice")
    for name, profile in policy.verification.items():
        yield from _results(name, profile)
    for index, test in enumerate(policy.tests):
        if test.expect is Verdict.ALLOW and test.reasons and any(r == "GATE_INTERNAL_ERROR" for r in test.reasons):
            yield _unreachable(("tests", index), "expects a crash to be allowed")


def _sandbox(policy: Policy, name: str, profile: VerificationProfile) -> Iterator[Problem]:
    rules, where = profile.sandbox, ("verification", name, "sandbox")
    if not rules.enabled:
        if policy.executor.verification.unsandboxed == "refuse":
            yield _unreachable((*where, "enabled"), "executor.verification.unsandboxed is refuse, so it can never run")
        elif policy.executor.verification.mode != "in_place":
            yield _unreachable((*where, "enabled"), "a rehearsal takes a sandbox, so it can never run")
        for key in sorted(rules.model_fields_set - {"enabled"}):
            yield _unreachable((*where, key), "says something about a sandbox that is not there")
    for index, path in enumerate(rules.reads):
        if path in rules.reads[:index]:
            yield _unreachable((*where, "reads", index), f"{path!r} stands twice")
        elif path.split("/")[1] in ("proc", "sys", "dev") or {".", ".."} & set(path.split("/")):
            yield _unreachable((*where, "reads", index), f"{path!r} cannot be shown")


def _results(name: str, profile: VerificationProfile) -> Iterator[Problem]:
    results, where = profile.results, ("verification", name, "results")
    if results.report is None and results.format == "junit":
        yield _unreachable((*where, "format"), "junit is read from a report, and none is named")
    if results.report is not None and results.format not in ("junit", "auto"):
        yield _unreachable((*where, "report"), f"a report is not read with format {results.format}")
    if results.report is not None and (results.report.startswith("/") or ".." in results.report.split("/")):
        yield _unreachable((*where, "report"), "must be a path below the workspace root")


def _unreachable(location: Location, message: str) -> Problem:
    return Problem("POLICY_UNREACHABLE", location, message, "Correct or remove it; a rule without effect misleads.")
