"""Asks a running supervisord, over XML-RPC on its unix socket or on HTTP.

Invariants:
- Every call ends within its time limit, though the other side accepts and never answers.
- An answer is bounded, and is read by an XML parser that takes no document type.
- Credentials come from environment variables that the policy names, never from the policy itself.
"""

from __future__ import annotations

from pathlib import Path
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
        url: of its HTTP server, without ``/RPC2``, such as ``http://127.0.0.1:9001``.
        username, password_env: the user, and the environment variable that holds the password.
    """

    socket: Annotated[Word, Field(min_length=1)] | None = None
    url: HttpUrl | None = None
    username: Annotated[Word, Field(min_length=1)] | None = None
    password_env: VariableName | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.socket is None) == (self.url is None):
            raise ValueError("give socket or url, one of them")
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env go together")
        return self

    @property
    def where(self) -> str:
        """The place, to say it."""
        return ascii(self.socket) if self.url is None else self.url


class SupervisorFault(Exception):
    """What supervisord itself said no to.

    Attributes:
        number: its fault code.
    """

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class NoAnswerError(Exception):
    """What came back is no XML-RPC answer; the text says why."""


def request(
    server: SupervisorServer, workspace: Path, password: str | None, method: str, *arguments: object
) -> tuple[Target, Call]:
    """Return what asks for ``method`` of the ``supervisor`` namespace, and whom.

    Args:
        password: of the server's user; None to name no user.
    """
    import xmlrpc.client

    if server.url is not None:
        target, path = target_of(server.url)
    else:
        target, path = Target("localhost", 80, socket_path=workspace / (server.socket or "")), "/"
    headers = {"Content-Type": "text/xml"}
    if password is not None:
        import base64

        pair = f"{server.username}:{password}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    body = xmlrpc.client.dumps(arguments, f"supervisor.{method}").encode()  # type: ignore[arg-type]  # marshalled
    return target, Call("POST", f"{path.rstrip('/')}/RPC2", headers, body)


def read_answer(body: bytes) -> Any:
    """Return the one value of an XML-RPC answer.

    Raises:
        SupervisorFault: it says no.
        NoAnswerError: it is none, or has a document type and so could have entities of its own.
    """
    import xmlrpc.client
    from xml.parsers import expat

    reading = xmlrpc.client.Unmarshaller()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise NoAnswerError("it has a document type")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.data
    reading.xml(None, None)  # type: ignore[arg-type]  # None: expat has decoded it
    try:
        parser.Parse(body.decode("utf-8", "replace"), True)
        (value,) = reading.close()
    except xmlrpc.client.Fault as fault:
        raise SupervisorFault(fault.faultCode, str(fault.faultString)) from fault
    except (expat.ExpatError, xmlrpc.client.Error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise NoAnswerError(f"{error!r:.100}") from error
    return value


class Supervisord:
    """One supervisord.

    Args:
        deadline: on the context's monotonic clock; no call outlasts it.
    """

    def __init__(self, context: ProbeContext, server: SupervisorServer, deadline: float) -> None:
        self._context = context
        self._server = server
        self.deadline = deadline

    def call(self, method: str, *arguments: object) -> Any:
        """Call ``method`` of the ``supervisor`` namespace and return its result.

        Raises:
            SupervisorFault: it refused.
            StepFailedError: ``SERVICE_MANAGER_…``: it could not be asked, or its answer is no answer.
        """
        answer = self._ask(*request(self._server, self._context.workspace, self._password(), method, *arguments))
        if answer.status == 401:
            raise self._failure("SERVICE_MANAGER_REFUSED", "asks for another user or password")
        if answer.status != 200:
            raise self._failure("SERVICE_MANAGER_ANSWER", f"answers with HTTP status {answer.status}")
        try:
            return read_answer(answer.body)
        except NoAnswerError as error:
            raise self._failure("SERVICE_MANAGER_ANSWER", f"gives no XML-RPC answer ({error})") from error

    def _ask(self, target: Target, call: Call) -> Answer:
        try:
            answer = exchange(target, call, self.deadline, self._context.clock)
        except ExchangeError as error:
            raise self._failure(*_NO_ANSWER[error.way], error.why) from error
        if not answer.complete:
            raise self._failure("SERVICE_MANAGER_ANSWER", "gives an answer that is too long")
        return answer

    def _password(self) -> str | None:
        name = self._server.password_env
        if name is None:
            return None
        password = secret_values((name,)).get(name)
        if password is None:
            raise self._failure("SERVICE_MANAGER_REFUSED", f"needs a password, and {name} is not set")
        return password

    def _failure(self, code: str, what: str, why: str = "") -> StepFailedError:
        return StepFailedError(
            code,
            f"supervisord at {self._server.where} {what}{f': {why}' if why else ''}",
            "Does supervisord run, and does it listen there?",
        )
