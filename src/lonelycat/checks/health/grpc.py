"""Kind ``grpc``: a server says by the gRPC health protocol (grpc.health.v1) that it, or one of its services, serves.

Invariants: only the status SERVING passes; UNKNOWN, SERVICE_UNKNOWN, an error or silence do not. The client library
keeps threads of its own, so the probe runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import HealthKind, ProbeContext, ProbeResult, VariableName, Word, failed, passed
from lonelycat.errors import StepFailedError

_Target = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$", max_length=300)]
_Key = Annotated[str, Field(pattern=r"^[a-z0-9_.-]+$")]


class GrpcParameters(Strict):
    """Which server to ask.

    Attributes:
        target: ``host:port``.
        service: the name of a service; empty for the server as a whole.
        tls: whether TLS is spoken, with the authorities in ``ca_file`` (absolute, or relative to the workspace root)
            or the usual ones; ``server_name`` is the name that the certificate must have if it is not the host's.
        metadata_env: metadata to send, and the environment variable that holds the value of each.
    """

    target: _Target
    service: Annotated[Word, Field(max_length=500)] = ""
    tls: bool = False
    ca_file: Annotated[Word, Field(min_length=1)] | None = None
    server_name: Annotated[Word, Field(min_length=1, max_length=255)] | None = None
    metadata_env: dict[_Key, VariableName] = Field(default={})

    @model_validator(mode="after")
    def _tls_is_on(self) -> Self:
        if not self.tls and (self.ca_file is not None or self.server_name is not None):
            raise ValueError("ca_file and server_name need tls: true")
        return self


def probe(context: ProbeContext, parameters: GrpcParameters, timeout: float) -> ProbeResult:
    """Call ``Check`` once."""
    try:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc
    except ImportError as error:
        raise StepFailedError(
            "HEALTH_EXTRA_MISSING",
            f"kind grpc needs the extra lonelycat[grpc]: {error}",
            "Install lonelycat[grpc] where LonelyCat runs.",
        ) from None
    shown = f"{parameters.service!a} at {parameters.target}" if parameters.service else parameters.target
    metadata = [(key, context.secrets[variable]) for key, variable in parameters.metadata_env.items()]
    try:
        with _channel(grpc, context, parameters) as channel:
            request = health_pb2.HealthCheckRequest(service=parameters.service)
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(request, timeout=timeout, metadata=metadata, wait_for_ready=False)
    except grpc.RpcError as error:
        return _error(grpc, error, shown, timeout)
    except OSError as error:
        return failed("HEALTH_GRPC_TLS", f"{shown}: {error}")
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) if answer.status in (0, 1, 2, 3) else "?"
    if status != "SERVING":
        return failed("HEALTH_GRPC_NOT_SERVING", f"{shown} says {status}", status=status)
    return passed(f"{shown} is serving", status=status)


def _channel(grpc: Any, context: ProbeContext, parameters: GrpcParameters) -> Any:
    options: list[tuple[str, object]] = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 * 1024)]
    if not parameters.tls:
        return grpc.insecure_channel(parameters.target, options)
    if parameters.server_name is not None:
        options.append(("grpc.ssl_target_name_override", parameters.server_name))
    roots = None if parameters.ca_file is None else (context.workspace / parameters.ca_file).read_bytes()
    return grpc.secure_channel(parameters.target, grpc.ssl_channel_credentials(roots), options)


def _error(grpc: Any, error: Any, shown: str, timeout: float) -> ProbeResult:
    code, said = error.code(), str(error.details())[:300]
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return failed("HEALTH_GRPC_TIMEOUT", f"{shown}: no answer within {timeout:g} s")
    if code is grpc.StatusCode.UNAVAILABLE:
        return failed("HEALTH_GRPC_CONNECT", f"{shown}: {said}")
    if code is grpc.StatusCode.NOT_FOUND:
        return failed("HEALTH_GRPC_NOT_SERVING", f"{shown}: the server does not know the service", status="NOT_FOUND")
    return failed("HEALTH_GRPC_ERROR", f"{shown}: {code.name}: {said}")


def _variables(parameters: GrpcParameters) -> Iterable[str]:
    return parameters.metadata_env.values()


KIND = HealthKind(GrpcParameters, probe, secret_variables=_variables)
