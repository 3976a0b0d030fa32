"""Asks a running supervisord, over XML-RPC on its unix socket or on HTTP.

Invariants:
- Every call ends within its time limit, though the other side accepts and never answers.
- Credentials come from environment variables that the policy names, never from the policy itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.exchange import Answer, Call, ExchangeError, HttpUrl, Target, exchange, target_of
from lonelycat.checks.health.kind import ProbeContext, VariableName, Word
from lonelycat.errors import StepFailedError
from lonelycat.settings import secret_values

BAD_NAME, SPAWN_ERRORS, ALREADY_STARTED, NOT_RUNNING = 10, (20, 21, 40, 50), 60, 70
"""Fault codes of supervisord: no such program; its command is not there or it ended at once; …"""


_NO_ANSWER = {
    "TIMEOUT": ("SERVICE_MANAGER_TIMEOUT", "did not answer"),
    "CONNECT": ("SERVICE_MANAGER_UNREACHABLE", "cannot be reached"),
    "PROTOCOL": ("SERVICE_MANAGER_ANSWER", "gives no answer that can be read"),
    "TLS": ("SERVICE_MANAGER_UNREACHABLE", "is not to be believed"),
}


class SupervisorServer(Strict):
    """Where supervisord listens: ``socket``, or else ``url``.

    Attributes:
        socket: its unix socket; absolute, or below the workspace root.
        url: such as ``http://127.0.0.1:9001``.
        username, password_env: the user, and the environment variable that holds the password.
    """

    socket: Annotated[Word, Field(min_length=1)] | None = None
    url: HttpUrl | None = None
    username: Annotated[Word, Field(min_length=1)] | None = None
    password_env: VariableName | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.socket is None) == (self.url is None):
            raise ValueError("name either socket or url")
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env go together")
        return self


class SupervisorFault(Exception):
    """What supervisord itself said no to.

    Attributes:
        number: its fault code.
    """

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class Supervisord:
    """One supervisord.

    Args:
        deadline: on the context's monotonic clock; no call outlasts it.
    """

    def __init__(self, context: ProbeContext, server: SupervisorServer, deadline: float) -> None:
        self._context = context
        self._server = server
        self.deadline = deadline
        if server.url is not None:
            self._target, self._path = target_of(server.url)
        else:
            self._target, self._path = (
                Target("localhost", 80, socket_path=context.workspace / (server.socket or "")),
                "/",
            )

    def call(self, method: str, *arguments: object) -> Any:
        """Call ``method`` of the ``supervisor`` namespace and return its result.

        Raises:
            SupervisorFault: it refused.
            StepFailedError: ``SERVICE_MANAGER_…``: it could not be asked, or its answer is no answer.
        """
        import xmlrpc.client  # of hostile answers: their size is bounded, and expat bounds the expansion of entities
        from xml.parsers.expat import ExpatError

        body = xmlrpc.client.dumps(arguments, f"supervisor.{method}").encode()  # type: ignore[arg-type]  # marshalled
        answer = self._ask(body)
        if answer.status == 401:
            raise self._failure("SERVICE_MANAGER_REFUSED", "asks for another user or password")
        if answer.status != 200:
            raise self._failure("SERVICE_MANAGER_ANSWER", f"answers with HTTP status {answer.status}")
        try:
            (result,), _ = xmlrpc.client.loads(answer.body.decode("utf-8", "replace"))
        except xmlrpc.client.Fault as fault:
            raise SupervisorFault(fault.faultCode, fault.faultString) from fault
        except (xmlrpc.client.Error, ExpatError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise self._failure("SERVICE_MANAGER_ANSWER", f"gives no XML-RPC answer ({error!r:.100})") from error
        return result

    def _ask(self, body: bytes) -> Answer:
        headers = {"Content-Type": "text/xml", **self._authorization()}
        call = Call("POST", f"{self._path.rstrip('/')}/RPC2", headers, body)
        try:
            answer = exchange(self._target, call, self.deadline, self._context.clock)
        except ExchangeError as error:
            raise self._failure(*_NO_ANSWER[error.way], error.why) from error
        if not answer.complete:
            raise self._failure("SERVICE_MANAGER_ANSWER", "gives an answer that is too long")
        return answer

    def _authorization(self) -> dict[str, str]:
        import base64

        name = self._server.password_env
        if name is None:
            return {}
        password = secret_values((name,)).get(name)
        if password is None:
            raise self._failure("SERVICE_MANAGER_REFUSED", f"needs a password, and {name} is not set")
        pair = f"{self._server.username}:{password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def _failure(self, code: str, what: str, why: str = "") -> StepFailedError:
        where = ascii(self._server.socket) if self._server.url is None else self._server.url
        return StepFailedError(
            code,
            f"supervisord at {where} {what}{f': {why}' if why else ''}",
            "Does supervisord run, and does it listen there?",
        )
