"""The program that runs in the sandbox: starts the copy, breaks it fault by fault, and says who noticed.

``python -m lonelycat.checks.breaking.inside`` reads a job (JSON) from standard input and writes one JSON object a line:
progress, then the report or an error.

Invariants:
- Before the first fault and after each, every check must hold: what is seen is the fault, and nothing else.
- All that it started ends with it: it is the first process of a pid namespace.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lonelycat.changes.model import Strict
from lonelycat.checks.breaking.faults import Fault, Patient, faults_of
from lonelycat.checks.breaking.report import FaultSeen, HealthTestReport, Seen
from lonelycat.checks.health.checker import HealthChecker
from lonelycat.checks.health.kind import Mark, ProbeContext
from lonelycat.checks.placeholders import fill
from lonelycat.checks.result import CheckResult
from lonelycat.checks.services.order import restart_order
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.clock import SystemClock
from lonelycat.errors import LonelyCatError, StateError
from lonelycat.governance.policy_profiles import HealthCheck, HealthTest, Service
from lonelycat.settings import Limits, child_environment

_PAUSE_SECONDS = 0.2
_CHECK_SECONDS = 60.0
_LOG_TAIL = 1000


class Job(Strict):
    """What to break, and what to ask."""

    workspace: str
    scratch: str
    test: HealthTest
    services: dict[str, Service]
    health_checks: dict[str, HealthCheck]


class Trial:
    """One run in the sandbox."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._clock = SystemClock()
        self._root = Path(job.workspace)
        self._context = ProbeContext(self._root, self._clock, Limits())
        self._log = Path(job.scratch) / "start.log"
        self._started: subprocess.Popen[bytes] | None = None

    def run(self) -> HealthTestReport:
        """Start everything, try every fault, return what was seen."""
        self._start()
        self._must_be_healthy("HEALTH_TEST_NOT_READY", "the copy in the sandbox does not become healthy")
        patients, skipped = {}, {}
        for name, service in self._job.services.items():
            patient = Patient(self._context, name, service)
            if patient.why_not is None:
                patients[name] = patient
            else:
                skipped[name] = patient.why_not
        http = frozenset(name for name, check in self._job.health_checks.items() if check.kind == "http")
        seen = []
        for fault in faults_of(patients, self._job.services, http, self._job.test):
            tell({"event": "fault", "fault": fault.name, "service": fault.service})
            seen.append(self._try(fault))
            tell({"event": "seen", **seen[-1].model_dump(mode="json")})
        return HealthTestReport(checks=tuple(self._job.health_checks), faults=tuple(seen), skipped=skipped)

    def _start(self) -> None:
        test = self._job.test
        if test.start is not None:
            with self._log.open("wb") as log:
                self._started = subprocess.Popen(  # noqa: S603 - argv from the policy, no shell by design
                    fill(test.start, self._root), cwd=self._root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=child_environment(test.env, test.pass_env), start_new_session=True,
                )  # fmt: skip
        restarter = ServiceRestarter(self._root, self._clock, Limits())
        own = [name for name, service in self._job.services.items() if service.kind == "process"]
        for name in restart_order(own, self._job.services):
            begun = restarter.restart(name, self._job.services[name].model_copy(update={"ready_timeout": None}), 60.0)
            if not begun.ok:
                raise StateError("HEALTH_TEST_NOT_READY", f"the copy does not start: {begun.message}")

    def _try(self, fault: Fault) -> FaultSeen:
        checker = HealthChecker(self._root, self._clock, Limits())
        marks = {name: checker.mark(name, check, 10.0) for name, check in self._job.health_checks.items()}
        with fault.broken():
            found = self._ask(self._job.health_checks, marks)
        self._must_be_healthy("HEALTH_TEST_NOT_MENDED", f"after {fault.name} of {fault.service} the copy stays ill")
        own = self._job.services[fault.service].health_checks
        seen: dict[str, Seen] = {
            name: "noticed" if not result.ok else "not_noticed" if name in own else "not_applicable"
            for name, result in found.items()
        }
        codes = {name: result.code or "" for name, result in found.items() if not result.ok}
        return FaultSeen(fault=fault.name, service=fault.service, seen=seen, codes=codes)

    def _ask(
        self, checks: Mapping[str, HealthCheck], marks: Mapping[str, Mark | None] | None = None
    ) -> dict[str, CheckResult]:
        """Ask all checks at the same time, each as the policy has it; one thing that is slow does not hide another.

        Args:
            marks: what they compare with; None when each is to note it just before it is asked.
        """
        checker = HealthChecker(self._root, self._clock, Limits())

        def ask(name: str) -> CheckResult:
            if marks is None:
                return checker.run_now(name, checks[name], _CHECK_SECONDS)
            return checker.run(name, checks[name], _CHECK_SECONDS, marks.get(name))

        with ThreadPoolExecutor(max_workers=16) as pool:
            return dict(zip(checks, pool.map(ask, checks), strict=True))

    def _must_be_healthy(self, code: str, what: str) -> None:
        until = self._clock.monotonic() + self._job.test.ready_timeout
        checks = self._job.health_checks
        while True:
            found = self._ask(checks)
            checks = {name: checks[name] for name in checks if not found[name].ok}
            if not checks:
                return
            ended = self._started is not None and self._started.poll() is not None
            if ended or self._clock.monotonic() >= until:
                name = next(iter(checks))
                how = f"; what started it ended with {self._started.returncode}" if ended and self._started else ""
                log = self._log.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace") if self._log.exists() else ""
                raise StateError(code, f"{what}: {found[name].code}: {found[name].message}{how}", log.strip())
            self._clock.sleep(_PAUSE_SECONDS)


_TELLING = threading.Lock()


def tell(event: Mapping[str, object]) -> None:
    """Write one line for the process outside."""
    with _TELLING:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def main() -> int:
    """Run the job; the answer is in what is written, not in the exit code."""
    try:
        report = Trial(Job.model_validate_json(sys.stdin.read())).run()
    except LonelyCatError as error:
        tell({"event": "error", "code": error.code, "message": error.message, "hint": error.hint})
    except Exception as error:  # noqa: BLE001 - closed by default: told as an error outside
        tell(
            {"event": "error", "code": "HEALTH_TEST_CRASHED", "message": f"{type(error).__name__}: {error}", "hint": ""}
        )
    else:
        tell({"event": "report", "report": report.model_dump(mode="json")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
