"""What a policy lets run: verification profiles, health checks, services, and the test of the health checks.

Invariants:
- The policy defines every command line, health target and restart; plans only name them.
- The parameters of a kind of health check or service are opaque here; the kind's own model judges them.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lonelycat.changes.model import Strict, as_tuple
from lonelycat.changes.plan import Name, Names, Text
from lonelycat.governance.policy_fields import Argv, Globs, Risks, Seconds


class NoTests(Strict):
    """What in a verification command's result means that nothing was really tested; any match is a failure."""

    exit_codes: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = ()
    output_patterns: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    require_output_pattern: str | None = None


AbsolutePath = Annotated[str, Field(pattern=r"^/[^\x00]*[^/\x00]$", max_length=4_000)]


class Sandbox(Strict):
    """What a verification command may do and use; everything else about its sandbox is fixed.

    ``reads`` names paths in hidden directories that it needs; ``writes`` what it is expected to write in the workspace
    (its copy of it), beside the usual caches.
    """

    enabled: bool = True
    network: Literal["none", "host"] = "none"
    reads: Annotated[tuple[AbsolutePath, ...], BeforeValidator(as_tuple)] = ()
    writes: Globs = ()
    undeclared_writes: Literal["report", "fail"] = "report"
    max_memory_bytes: Annotated[int, Field(ge=16 * 1024 * 1024)] = 4 * 1024 * 1024 * 1024
    max_processes: Annotated[int, Field(ge=1, le=100_000)] = 1024
    max_written_bytes: Annotated[int, Field(ge=1024 * 1024)] = 1024 * 1024 * 1024


class TestResults(Strict):
    """Where the counts of a profile's tests come from: its output, or a report that it writes.

    ``report`` is a JUnit XML file below the workspace root, which the run itself must have written.
    """

    __test__ = False

    format: Literal["auto", "pytest", "unittest", "go_test", "tap", "junit", "exit_code"] = "auto"
    report: Annotated[str, Field(min_length=1, max_length=4_000)] | None = None


class VerificationProfile(Strict):
    """A command that must succeed, with evidence that it tested something.

    ``argv`` may hold ``{python}`` (the interpreter that runs LonelyCat), ``{changed_files}`` (a file that lists the
    changed paths, NUL-separated) and ``{workspace}``. ``touches`` says for which paths the planner picks it;
    ``judges`` names the files that it runs (tests, configuration), for the rule on weakened tests. A run that failed is
    tried again up to ``retries`` times; one that passes only then is reported as flaky.
    """

    argv: Argv
    description: Text = ""
    touches: Globs = ("**",)
    judges: Globs = ()
    cwd: str = "."
    env: dict[str, str] = Field(default_factory=dict)
    pass_env: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    timeout: Seconds = 60.0
    no_tests: NoTests = NoTests.model_construct()
    sandbox: Sandbox = Sandbox.model_construct()
    results: TestResults = TestResults.model_construct()
    retries: Annotated[int, Field(ge=0, le=10)] = 0


BUILT_IN_HEALTH_KINDS = (
    "command", "file", "grpc", "http", "log", "process", "prometheus", "redis", "sql", "sqlite", "supervisor",
    "systemd", "tcp",
)  # fmt: skip
"""The kinds of health check that come with LonelyCat; ``checks/health/registry.py`` adds those of plug-ins."""


class HealthCheck(Strict):
    """One health check: its kind, the kind's own parameters, and how often it must succeed.

    ``with`` holds the parameters of the kind and is validated by the kind's own model (``checks/health``), which also
    knows what kinds there are. At the levels in ``required_for_risk`` every plan must name the check, whatever it
    touches. ``already_failing`` says whether a check that fails before the change stops it.
    """

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    parameters: Annotated[dict[str, Any], Field(alias="with")]
    description: Text = ""
    touches: Globs = ("**",)
    timeout: Seconds = 5.0
    interval: Annotated[float, Field(ge=0, le=3_600)] = 0.5
    attempts: Annotated[int, Field(ge=1, le=1_000)] = 5
    success_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    failure_threshold: Annotated[int, Field(ge=1, le=1_000)] = 3
    required_for_risk: Risks = ()
    already_failing: Literal["report", "block"] = "report"


class Service(Strict):
    """Something that runs and may need a restart; ``with`` is validated by the kind's own model.

    Attributes:
        action: what a change asks of it; not every kind can do each.
        after: services that are restarted before this one, when both are.
        ready_timeout: seconds within which its ``health_checks`` must hold after the restart, before the next service
            is restarted; None does not wait.
    """

    kind: Literal["process", "command", "supervisor", "systemd", "docker"]
    parameters: Annotated[dict[str, Any], Field(alias="with")]
    description: Text = ""
    action: Literal["restart", "reload", "signal"] = "restart"
    touches: Globs = ()
    after: Names = ()
    health_checks: Names = ()
    timeout: Seconds = 30.0
    ready_timeout: Seconds | None = None


class BrokenDatabase(Strict):
    """A PostgreSQL database that ``health test`` breaks in the sandbox: it refuses, and its tables are locked.

    Attributes:
        url: a libpq URL without a password, of a user who may lock the tables and alter the database.
        service: the service whose health checks must notice.
        maintenance: another database of the same server, to say from there that this one refuses.
    """

    url: Annotated[str, Field(pattern=r"^postgres(ql)?://[^:/?#]*(:[0-9]+)?[^:]*$", max_length=2_000)]
    service: Name
    maintenance: Annotated[str, Field(min_length=1, max_length=200)] = "postgres"


class HealthTest(Strict):
    """How ``lonelycat health test`` starts a copy of everything in a sandbox, to break it there.

    Attributes:
        start: starts what the services need, and those that LonelyCat does not start itself; it stays in the
            foreground. ``{python}`` and ``{workspace}`` are filled in.
        private: absolute directories that begin empty in the sandbox: data, sockets, logs.
        ready_timeout: seconds until every health check must hold, at first and after each fault.
    """

    start: Argv | None = None
    env: dict[str, str] = Field(default_factory=dict)
    pass_env: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    private: Annotated[
        tuple[Annotated[str, Field(pattern=r"^/.", max_length=4_000)], ...], BeforeValidator(as_tuple)
    ] = ()
    ready_timeout: Seconds = 60.0
    databases: dict[Name, BrokenDatabase] = Field(default_factory=dict)
