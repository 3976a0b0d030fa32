"""A real gRPC server with the health service, in a process of its own."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.servers.certificates import Certificates
from tests.servers.running import accepts, free_port, running

SERVER = textwrap.dedent(
    """
    import sys
    from concurrent import futures
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    port, key, certificate = sys.argv[1:]
    Status = health_pb2.HealthCheckResponse

    class WithToken(health.HealthServicer):
        def Check(self, request, context):
            if request.service == "guarded" and ("token", "t0p-secret") not in context.invocation_metadata():
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
            return super().Check(request, context)

    servicer = WithToken()
    for name, status in (("", Status.SERVING), ("shop", Status.SERVING), ("guarded", Status.SERVING),
                         ("broken", Status.NOT_SERVING), ("unsure", Status.UNKNOWN)):
        servicer.set(name, status)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if key:
        pair = [(open(key, "rb").read(), open(certificate, "rb").read())]
        server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials(pair))
    else:
        server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()
    """
)


@contextlib.contextmanager
def grpc_health(directory: Path, made: Certificates | None = None) -> Iterator[str]:
    """Run the server, over TLS where certificates are given; yields its target."""
    port = free_port()
    files = ["", ""] if made is None else [str(made.key), str(made.certificate)]
    with running([sys.executable, "-c", SERVER, str(port), *files], lambda: accepts(port), directory / "log"):
        yield f"127.0.0.1:{port}"
