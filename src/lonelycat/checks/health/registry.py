"""The kinds of health check there are, and the validation of what a policy writes for them."""

from __future__ import annotations

from pydantic import ValidationError

from lonelycat.changes.model import Strict
from lonelycat.checks.health import command, file, http, process, sqlite, tcp
from lonelycat.checks.health.kind import HealthKind
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import HealthCheck

HEALTH_KINDS: dict[str, HealthKind] = {
    "command": command.KIND,
    "file": file.KIND,
    "http": http.KIND,
    "process": process.KIND,
    "sqlite": sqlite.KIND,
    "tcp": tcp.KIND,
}


def validate_health_check(name: str, check: HealthCheck) -> Strict:
    """Return the validated parameters of ``check``.

    Raises:
        PolicyError: ``HEALTH_PARAMETERS``, naming the field.
    """
    if check.success_threshold > check.attempts:
        raise _parameters(name, "success_threshold", "is over attempts, so that it could never pass")
    try:
        return HEALTH_KINDS[check.kind].parameters.model_validate(check.parameters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(["with", *map(str, first["loc"])])
        raise _parameters(name, field, str(first["msg"])) from error


def _parameters(name: str, field: str, why: str) -> PolicyError:
    return PolicyError(
        "HEALTH_PARAMETERS",
        f"health_checks.{name}.{field}: {why}",
        "Correct the health check; `lonelycat policy check` shows every problem.",
        details={"health_check": name, "field": field},
    )
