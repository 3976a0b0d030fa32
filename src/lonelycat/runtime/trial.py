"""Whether a command runs at all, tried as verification would run it: in its sandbox, with its environment and PATH.

A program that is found need not work: a version manager puts a stand-in on PATH for what is not installed, and what
lies in somebody's home is not there in the sandbox.

Invariant: nothing runs outside a sandbox; where none can be made, no command counts as one that works.
"""

from __future__ import annotations

import shlex

from lonelycat.checks.result import CheckResult
from lonelycat.checks.verifier import Verifier
from lonelycat.clock import SystemClock
from lonelycat.governance.policy_profiles import TestResults, VerificationProfile
from lonelycat.settings import Settings

TRIAL_SECONDS = 20
_MAX_SAID = 120


def why_not(settings: Settings, argv: tuple[str, ...]) -> str | None:
    """Run ``argv``, which should do nothing much, and return in words why it did not work; None when it exited with 0.

    Args:
        argv: as in a verification profile of the policy, ``{workspace}`` included.
    """
    verifier = Verifier(settings.workspace, SystemClock(), settings.limits, secrets=(settings.state_dir,))
    profile = VerificationProfile(argv=argv, timeout=TRIAL_SECONDS, results=TestResults(format="exit_code"))
    done = verifier.run("trial", profile, (), TRIAL_SECONDS)
    if done.ok:
        return None
    if done.code == "VERIFY_COMMAND_NOT_FOUND":
        return f"{argv[0]} is not {'there' if '/' in argv[0] else 'on PATH'}"
    return f"`{shlex.join(argv)}` does not work in the sandbox: {_said(done)}"


def _said(done: CheckResult) -> str:
    """Return how it ended, and the first line that it wrote."""
    ended = done.message.removeprefix("trial: ").partition("\n")[0]
    lines = done.output.decode("utf-8", "replace").strip().splitlines()
    first = "".join(char for char in lines[0] if char.isprintable())[:_MAX_SAID] if lines else ""
    return f"{ended}: {first}" if first and first not in ended else ended
