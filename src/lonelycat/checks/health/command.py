"""Kind ``command``: a command ends with the expected exit code and, if asked, says what is expected."""

from __future__ import annotations

import re

from pydantic import Field

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import (
    MATCH_BYTES,
    CommandArgv,
    ExitCodes,
    HealthKind,
    Pattern,
    ProbeContext,
    ProbeResult,
    Word,
    Words,
    failed,
    passed,
)
from lonelycat.checks.inside import resolve_inside
from lonelycat.checks.placeholders import fill
from lonelycat.checks.process import run_process
from lonelycat.settings import child_environment


class CommandParameters(Strict):
    """What to run and what to expect.

    Attributes:
        argv: the command, no shell; ``{python}`` and ``{workspace}`` are filled in.
        exit_codes: the exit code or codes that mean healthy.
        output_matches: a pattern that the output (its last 64 KiB) must match.
        cwd: where to run it, below the workspace root.
        env, pass_env: variables to set, and names to take over from LonelyCat's own environment.
    """

    argv: CommandArgv
    exit_codes: ExitCodes = (0,)
    output_matches: Pattern | None = None
    cwd: Word = "."
    env: dict[Word, Word] = Field(default={})
    pass_env: Words = ()


def probe(context: ProbeContext, parameters: CommandParameters, timeout: float) -> ProbeResult:
    """Run the command once, where it can see the host's processes."""
    done = run_process(
        fill(parameters.argv, context.workspace),
        cwd=resolve_inside(context.workspace, parameters.cwd),
        env=child_environment(parameters.env, parameters.pass_env),
        timeout=timeout,
        max_output_bytes=context.limits.max_output_bytes,
        pass_fds=context.pass_fds,
        stop=context.stop,
        sees_host=True,
    )
    shown = ascii(parameters.argv[0])
    if done.error_code:
        return failed("HEALTH_COMMAND_NOT_FOUND", done.message)
    if done.timed_out:
        return failed("HEALTH_COMMAND_TIMEOUT", f"{shown} still ran after {timeout:g} s", done.output)
    if done.exit_code is None:
        return failed("HEALTH_COMMAND_FAILED", f"{shown} was killed by signal {done.signal}", done.output)
    if done.exit_code not in parameters.exit_codes:
        return failed("HEALTH_COMMAND_FAILED", f"{shown} exited with {done.exit_code}", done.output)
    text = done.output[-MATCH_BYTES:].decode("utf-8", "replace")
    if parameters.output_matches is not None and not re.search(parameters.output_matches, text, re.M):
        return failed(
            "HEALTH_COMMAND_OUTPUT", f"the output of {shown} lacks {parameters.output_matches!r}", done.output
        )
    return passed(f"{shown} exited with {done.exit_code}", done.output)


KIND = HealthKind(CommandParameters, probe, isolated=False)
