"""The kinds of service there are, and the validation of what a policy writes for them."""

from __future__ import annotations

from pydantic import ValidationError

from lonelycat.changes.model import Strict
from lonelycat.checks.services import command, process
from lonelycat.checks.services.kind import ServiceKind
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import Service

SERVICE_KINDS: dict[str, ServiceKind] = {"command": command.KIND, "process": process.KIND}


def validate_service(name: str, service: Service) -> Strict:
    """Return the validated parameters of ``service``.

    Raises:
        PolicyError: ``SERVICE_PARAMETERS``, naming the field.
    """
    try:
        return SERVICE_KINDS[service.kind].parameters.model_validate(service.parameters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(["with", *map(str, first["loc"])])
        raise PolicyError(
            "SERVICE_PARAMETERS",
            f"services.{name}.{field}: {first['msg']}",
            "Correct the service; `lonelycat policy check` shows every problem.",
            details={"service": name, "field": field},
        ) from error
