"""Every reason code that the gate can give, in one table.

Invariant: a code that is not here cannot be emitted, excepted or shadowed; a code that is not *liftable* holds under
every policy: no exception and no shadow can touch it.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """What a reason code means, and whether a policy may lift it."""

    meaning: str
    liftable: bool = True


CODES: dict[str, Code] = {
    # integrity
    "CHANGESET_INVALID": Code("the change set is malformed", False),
    "CHECKSUM_MISMATCH": Code("the change set was altered after it was made", False),
    "PLAN_MISMATCH": Code("the change set belongs to another plan", False),
    "PATHS_UNDECLARED": Code("the change set touches what the plan does not declare", False),
    # bounds
    "PATH_PROTECTED": Code("a path that nothing may write", False),
    "PATH_FORBIDDEN": Code("a path that the policy forbids"),
    "PATH_NOT_ALLOWED": Code("a path outside of allowed_paths"),
    "TOO_MANY_FILES": Code("more files than max_files_touched"),
    "TOO_MANY_LINES": Code("more lines than max_patch_lines"),
    "TOO_MANY_DELETIONS": Code("more deletions than max_deletions"),
    "FILE_TOO_LARGE": Code("a file over max_file_bytes"),
    "TOO_MANY_BYTES": Code("more bytes than max_total_bytes"),
    # risk and review
    "PLAN_RISK": Code("the risk that the plan itself proposes", False),
    "CATEGORY_RISK": Code("a category of path raises the risk"),
    "ESCALATED": Code("an escalation raises the risk"),
    "RISK_NEEDS_APPROVAL": Code("the effective risk needs a person's yes", False),
    "GOVERNANCE_PATH": Code("a file that gives power over tools, checks or people's machines", False),
    "PIN_MOVED": Code("the same actions or hooks of CI at an unknown commit or at a tag that is no higher one", False),
    "PIN_VERIFIED": Code("the same actions or hooks of CI at commits that higher tags are known to point to", False),
    "PIN_RAISED": Code("the same actions or hooks of CI at higher tags", False),
    "CI_UPKEEP": Code("an edit of CI after which no more can happen than before", False),
    "REVIEW_CATEGORY": Code("a category that is always reviewed"),
    "MASS_DELETION": Code("many files go at once"),
    # requirements
    "UNKNOWN_PROFILE": Code("the plan names a verification profile that the policy does not define", False),
    "UNKNOWN_HEALTH_CHECK": Code("the plan names a health check that the policy does not define", False),
    "UNKNOWN_SERVICE": Code("the plan names a service that the policy does not define", False),
    "VERIFICATION_REQUIRED": Code("no verification although the risk demands one"),
    "VERIFICATION_INCOMPLETE": Code("a verification that the policy has for these paths is left out"),
    "HEALTH_CHECK_REQUIRED": Code("no health check although the risk demands one"),
    "HEALTH_CHECK_INCOMPLETE": Code("a health check that the policy has for these paths is left out"),
    "ROLLBACK_PLAN_REQUIRED": Code("no rollback plan although the risk demands one"),
    # content
    "UNSCANNED_CONTENT": Code("content that the gate could not look at"),
    "SECRET_FOUND": Code("something that looks like a credential"),
    "BIDIRECTIONAL_TEXT": Code("text that shows in another order than it is read"),
    "INVISIBLE_TEXT": Code("characters that do not show"),
    "CONFUSABLE_TEXT": Code("letters that look like others"),
    "CONFUSABLE_NAME": Code("a name that misleads"),
    "CONTROL_TEXT": Code("control characters that rewrite what a terminal shows"),
    "EXECUTABLE_BIT": Code("a file becomes executable"),
    "SYMLINK": Code("a symbolic link"),
    "SYMLINK_ESCAPES": Code("a symbolic link that leaves the workspace or cannot be judged"),
    "SYMLINK_TO_PROTECTED": Code("a symbolic link to what nothing may write", False),
    "SYMLINK_TO_FORBIDDEN": Code("a symbolic link to what the policy forbids"),
    "BINARY_CONTENT": Code("bytes that a person cannot review"),
    "DISGUISED_PROGRAM": Code("a program under a name that promises data"),
    "INSTALL_HOOK": Code("a command that runs when somebody installs or opens the project"),
    "WEAKENED_TESTS": Code("the tests that judge a change are weakened"),
    # history
    "DIGEST_QUARANTINED": Code("the same change was made before, failed, and was not kept", False),
    # windows, exceptions, the gate itself
    "FREEZE_WINDOW": Code("a time in which changes are held"),
    "EXCEPTION_EXPIRED": Code("an exception would have applied, had it not expired", False),
    "GATE_INTERNAL_ERROR": Code("a rule crashed; closed by default", False),
}
