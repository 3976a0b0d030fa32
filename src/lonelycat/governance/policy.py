"""The policy as data: what may be touched, what is escalated, what must be checked, and by whose leave.

Invariants:
- Strict: an unknown key, an unknown profile name or a wrong type fails the load; nothing is silently ignored.
- ``Policy`` is the document as written. What the gate runs on is compiled from it once (``matching.py``).

The models of what runs are in ``policy_profiles.py``. The YAML reader, with line numbers, is ``policy_file.py``.
"""

from datetime import date, time
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lonelycat.changes.model import Strict, as_tuple
from lonelycat.changes.plan import Name, Names, Risk, RiskLevel, Text
from lonelycat.governance.policy_fields import Day, Duration, Globs, Risks, Seconds, as_date, as_time
from lonelycat.governance.policy_profiles import HealthCheck, HealthTest, Service, VerificationProfile


class Verdict(StrEnum):
    """What the gate rules."""

    ALLOW = "ALLOW"
    NEED_APPROVAL = "NEED_APPROVAL"
    DENY = "DENY"


class RuleMode(StrEnum):
    """Whether a rule counts, or is only judged and recorded."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class Reaction(StrEnum):
    """What a content rule does when it finds something."""

    ALLOW = "allow"
    REVIEW = "review"
    DENY = "deny"


class Constraints(Strict):
    """Numeric bounds; over any of them is DENY."""

    max_files_touched: Annotated[int, Field(ge=1)] = 50
    max_patch_lines: Annotated[int, Field(ge=1)] = 5000
    max_execution_time: Seconds = 300.0
    max_step_time: Seconds = 60.0
    max_rollback_time: Seconds = 120.0
    """Of a rollback's restarts and health checks, apart from the execution's own time; files go back whatever it is."""
    max_file_bytes: Annotated[int, Field(ge=1)] = 10 * 1024 * 1024
    max_total_bytes: Annotated[int, Field(ge=1)] = 100 * 1024 * 1024
    max_deletions: Annotated[int, Field(ge=0)] = 50


class Concurrency(Strict):
    """One execution at a time; ``lock_scope`` has one value today."""

    enabled: bool = True
    lock_scope: Literal["repository"] = "repository"
    lock_timeout: Seconds = 600.0


class Idempotency(Strict):
    """How long a completed execution answers for a repeat of itself; ``key_format`` has one value today."""

    enabled: bool = True
    key_format: Literal["plan_id + changeset.checksum"] = "plan_id + changeset.checksum"
    cached_result_ttl: Annotated[int, Field(ge=0)] = 3600


class VerificationRules(Strict):
    """Where verification profiles run: in the workspace after the change was applied, or before, in a rehearsal of it.

    ``unsandboxed`` says whether a profile may run without a sandbox: where the machine gives none, or where the profile
    itself says that it wants none. ``joint_changes`` says what it means that a change of code passes only by tests that
    it rewrites itself: it fails, so that a person decides; it is reported; or nobody looks.
    """

    mode: Literal["in_place", "rehearse", "both"] = "in_place"
    unsandboxed: Literal["refuse", "allow"] = "refuse"
    joint_changes: Literal["escalate", "report", "ignore"] = "escalate"


class Watch(Strict):
    """How long a change is watched after its health checks held, before it is kept.

    Every health check of the plan is sampled each ``interval``, one probe a sample, for ``seconds`` (0: not at all).
    More failed samples than ``failure_budget``, over all checks together, take the change back. The same sampling goes
    on while a person's confirmation is awaited.
    """

    seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    interval: Annotated[float, Field(ge=0.05, le=3_600)] = 1.0
    failure_budget: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class ExecutorSection(Strict):
    """Bounds that the gate judges and the executor checks again by itself."""

    allowed_paths: Globs
    forbidden_paths: Globs = ()
    constraints: Constraints = Constraints.model_construct()
    require_health_checks_for_risk: Risks = (RiskLevel.MEDIUM, RiskLevel.HIGH, RiskLevel.CRITICAL)
    require_verification_for_risk: Risks = tuple(RiskLevel)
    require_rollback_plan_for_risk: Risks = (RiskLevel.HIGH, RiskLevel.CRITICAL)
    always_review_categories: Names = ()
    concurrency: Concurrency = Concurrency.model_construct()
    idempotency: Idempotency = Idempotency.model_construct()
    verification: VerificationRules = VerificationRules.model_construct()
    watch: Watch = Watch.model_construct()
    confirm: Duration | None = None
    """How long a person has to say ``lonelycat confirm``, without which the change goes back; None asks nobody."""


class PathCategory(Strict):
    """A named kind of path (schema, security, ci …): what touching it means for risk."""

    paths: Globs
    except_paths: Globs = ()
    except_version_bumps: bool = False
    """Whether a change that only raises versions of what stands there already is not reviewed (it keeps the risk)."""
    risk: Risk = RiskLevel.LOW
    description: Text = ""


class Escalation(Strict):
    """Raises risk when all of its conditions hold; thresholds count over the change set."""

    name: Name
    risk: Risk
    paths: Globs = ()
    operations: Annotated[tuple[Literal["create", "update", "delete", "rename"], ...], BeforeValidator(as_tuple)] = ()
    min_files: Annotated[int, Field(ge=1)] | None = None
    min_patch_lines: Annotated[int, Field(ge=1)] | None = None
    mode: RuleMode = RuleMode.ENFORCE
    reason: Text = ""


class ContentRules(Strict):
    """What to do about what is *in* the new bytes."""

    secrets: Reaction = Reaction.DENY
    bidirectional_text: Reaction = Reaction.DENY
    invisible_text: Reaction = Reaction.REVIEW
    executable_bit: Reaction = Reaction.REVIEW
    symlinks: Reaction = Reaction.REVIEW
    escaping_symlinks: Reaction = Reaction.DENY
    binary: Reaction = Reaction.REVIEW
    binary_ok_paths: Globs = ()
    secrets_ok_paths: Globs = ()
    weakened_tests: Reaction = Reaction.REVIEW
    max_scan_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024


class Window(Strict):
    """A recurring or one-off time in which changes get ``verdict``; ``exempt`` names people it does not bind."""

    name: Name
    verdict: Literal["NEED_APPROVAL", "DENY"] = "NEED_APPROVAL"
    days: Annotated[tuple[Day, ...], BeforeValidator(as_tuple)] = ()
    start: Annotated[time, BeforeValidator(as_time)] | None = None
    end: Annotated[time, BeforeValidator(as_time)] | None = None
    from_date: Annotated[date, BeforeValidator(as_date)] | None = None
    to_date: Annotated[date, BeforeValidator(as_date)] | None = None
    timezone: str = "UTC"
    paths: Globs = ()
    mode: RuleMode = RuleMode.ENFORCE
    reason: Text = ""


class PolicyException(Strict):
    """Lifts named reasons for named paths until a day; past it, the exception is inert and reported."""

    name: Name
    rules: Names
    paths: Globs
    expires: Annotated[date, BeforeValidator(as_date)]
    reason: Annotated[str, Field(min_length=1, max_length=2_000)]
    approved_by: Annotated[str, Field(min_length=1, max_length=200)]


class Approver(Strict):
    """A person who may approve; with a key, by signature."""

    public_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")] | None = None


class ApprovalRules(Strict):
    """Who may say yes, how, how many of them, and for how long it holds.

    ``approvers`` empty means any person but the proposer, at a terminal. ``quorum`` is by effective risk; a level
    not named needs one.
    """

    quorum: dict[Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"], Annotated[int, Field(ge=1, le=10)]] = Field(
        default_factory=dict
    )
    expires_after: Annotated[int, Field(ge=1, le=366 * 86_400)] = 86_400
    methods: Annotated[tuple[Literal["terminal", "key"], ...], BeforeValidator(as_tuple)] = ("terminal", "key")
    approvers: dict[Annotated[str, Field(min_length=1, max_length=200)], Approver] = Field(default_factory=dict)


class ChangeExample(Strict):
    """A file change in a policy's own test."""

    operation: Literal["create", "update", "delete", "rename"] = "create"
    path: str
    old_path: str | None = None
    old: str = ""
    content: str = ""
    mode: Literal["100644", "100755", "120000"] = "100644"


class PolicyTest(Strict):
    """An example with its expected verdict, run by ``lonelycat policy test`` and at load."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    changes: Annotated[tuple[ChangeExample, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    created_by: str = "agent:example"
    at: str | None = None
    expect: Annotated[Verdict, BeforeValidator(lambda v: Verdict(v) if isinstance(v, str) else v)]
    reasons: Names = ()


class Policy(Strict):
    """The whole document."""

    version: Literal[1]
    name: Name
    description: Text = ""
    executor: ExecutorSection
    categories: dict[Name, PathCategory] = Field(default_factory=dict)
    default_risk: Risk = RiskLevel.LOW
    approval_for_risk: Risks = (RiskLevel.HIGH, RiskLevel.CRITICAL)
    escalations: Annotated[tuple[Escalation, ...], BeforeValidator(as_tuple)] = ()
    content: ContentRules = ContentRules.model_construct()
    windows: Annotated[tuple[Window, ...], BeforeValidator(as_tuple)] = ()
    exceptions: Annotated[tuple[PolicyException, ...], BeforeValidator(as_tuple)] = ()
    shadow: Names = ()
    """Reason codes that are judged and recorded but do not count, while a rule is tried out."""
    approvals: ApprovalRules = ApprovalRules.model_construct()
    verification: dict[Name, VerificationProfile] = Field(default_factory=dict)
    health_checks: dict[Name, HealthCheck] = Field(default_factory=dict)
    services: dict[Name, Service] = Field(default_factory=dict)
    health_test: HealthTest | None = None
    tests: Annotated[tuple[PolicyTest, ...], BeforeValidator(as_tuple)] = ()
