"""The kinds of service there are, and the validation of what a policy writes for them."""

from __future__ import annotations

from pydantic import ValidationError

from lonelycat.changes.model import Strict
from lonelycat.checks.services import command, docker, process, supervisor, systemd
from lonelycat.checks.services.kind import ServiceKind
from lonelycat.errors import PolicyError
from lonelycat.governance.policy_profiles import Service

SERVICE_KINDS: dict[str, ServiceKind] = {
    "command": command.KIND,
    "docker": docker.KIND,
    "process": process.KIND,
    "supervisor": supervisor.KIND,
    "systemd": systemd.KIND,
}


def validate_service(name: str, service: Service) -> Strict:
    """Return the validated parameters of ``service``.

    Raises:
        PolicyError: ``SERVICE_PARAMETERS``, naming the field.
    """
    kind = SERVICE_KINDS[service.kind]
    if service.action not in kind.actions:
        able = ", ".join(kind.actions)
        raise _parameters(name, "action", f"the kind {service.kind} cannot {service.action}; it can {able}")
    try:
        parameters = kind.parameters.model_validate(service.parameters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(["with", *map(str, first["loc"])])
        raise _parameters(name, field, str(first["msg"])) from error
    given = getattr(parameters, "signal", None)
    if service.action == "signal" and given is None:
        raise _parameters(name, "with.signal", "the action signal needs to know which")
    if service.action != "signal" and given is not None:
        raise _parameters(name, "with.signal", f"means nothing for the action {service.action}")
    return parameters


def _parameters(name: str, field: str, why: str) -> PolicyError:
    return PolicyError(
        "SERVICE_PARAMETERS",
        f"services.{name}.{field}: {why}",
        "Correct the service; `lonelycat policy check` shows every problem.",
        details={"service": name, "field": field},
    )
