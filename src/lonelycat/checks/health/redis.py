"""Kind ``redis``: a Redis server answers, has the role that is wanted, replicates, and holds what is expected.

The protocol is small enough to speak here, where every read has the time limit and a bound; a client library would add
its own retries, time-outs and connections that are kept.

Invariants:
- Only a complete answer counts; an error reply, garbage or a cut connection is a failure with its own code.
- Nothing is written. The password comes from an environment variable and is in no message.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.exchange import Trust, cut_at, tls_context
from lonelycat.checks.health.kind import HealthKind, Port, ProbeContext, ProbeResult, VariableName, Word, failed, passed
from lonelycat.checks.health.network import connect

_MAX_REPLY_BYTES = 1024 * 1024
_MAX_LINE_BYTES = 64 * 1024


class RedisParameters(Strict):
    """Which server and what must hold.

    Attributes:
        host, port: where it listens, unless ``socket`` gives the path of its Unix socket.
        username, password_env: whom to authenticate as, and the variable that holds the password.
        tls: whether TLS is spoken; ``verify_tls`` and ``ca_file`` are as in kind ``http``.
        database: the number of the database to select.
        role: ``master`` or ``replica``, which the server must be.
        min_replicas: how many replicas must be connected to it.
        max_lag_seconds: how long ago a replica may have heard from its master at most; its link must be up.
        key: a key that must exist; with ``equals`` its text.
    """

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Port = 6379
    socket: Annotated[Word, Field(min_length=1)] | None = None
    username: Annotated[Word, Field(min_length=1)] | None = None
    password_env: VariableName | None = None
    tls: bool = False
    verify_tls: bool = True
    ca_file: Annotated[Word, Field(min_length=1)] | None = None
    database: Annotated[int, Field(ge=0, le=10_000)] = 0
    role: Literal["master", "replica"] | None = None
    min_replicas: Annotated[int, Field(ge=1, le=1_000)] | None = None
    max_lag_seconds: Annotated[float, Field(gt=0)] | None = None
    key: Annotated[Word, Field(min_length=1)] | None = None
    equals: Word | None = None

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        if self.socket is not None and (self.tls or self.model_fields_set & {"host", "port"}):
            raise ValueError("socket goes without host, port and tls")
        if self.username is not None and self.password_env is None:
            raise ValueError("username needs password_env")
        if self.min_replicas is not None and self.role == "replica":
            raise ValueError("min_replicas is asked of a master")
        if self.max_lag_seconds is not None and self.role == "master":
            raise ValueError("max_lag_seconds is asked of a replica")
        if self.equals is not None and self.key is None:
            raise ValueError("equals needs a key")
        return self


class _ReplyError(Exception):
    """The server answered with an error; the text is the server's."""


class _ProtocolError(Exception):
    """What came is no reply."""


_Reply = str | int | bytes | None


class _Conversation:
    """Asks one command at a time over a connection that is cut when the time is up."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def ask(self, *words: str) -> _Reply:
        """Send a command and return its reply: text, a number, bytes or None."""
        encoded = [word.encode("utf-8", "surrogateescape") for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        self._connection.sendall(b"".join(parts))
        return self._reply()

    def _reply(self) -> _Reply:
        line = self._line()
        kind, rest = line[:1], line[1:].decode("utf-8", "replace")
        if kind == b"+":
            return rest
        if kind == b"-":
            raise _ReplyError(rest)
        if kind == b":":
            return _number(rest)
        if kind != b"$":
            raise _ProtocolError(f"it answers {line[:40]!r}, which is no reply of Redis")
        size = _number(rest)
        if size == -1:
            return None
        if not 0 <= size <= _MAX_REPLY_BYTES:
            raise _ProtocolError(f"a reply of {size} bytes is over the limit")
        return self._exactly(size + 2)[:-2]

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _MAX_LINE_BYTES:
                raise _ProtocolError("it answers without an end of line")
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> None:
        data = self._connection.recv(64 * 1024)
        if not data:
            raise _ProtocolError("it closed the connection without an answer")
        self._buffer += data


def _number(text: str) -> int:
    try:
        return int(text[:20])
    except ValueError:
        raise _ProtocolError(f"it answers {text[:20]!r} where a number belongs") from None


def probe(context: ProbeContext, parameters: RedisParameters, timeout: float) -> ProbeResult:
    """Connect, authenticate and ask once."""
    shown = f"redis at {parameters.socket or f'{parameters.host}:{parameters.port}'}"
    deadline = context.clock.monotonic() + timeout
    cut = threading.Event()
    try:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(_connected(context, parameters, timeout))
            sockets = [connection]
            stack.enter_context(cut_at(sockets, deadline - context.clock.monotonic(), cut))
            if parameters.tls:
                trust = Trust(parameters.verify_tls, _path(context, parameters.ca_file))
                tls = tls_context(trust).wrap_socket(
                    connection, server_hostname=parameters.host, do_handshake_on_connect=False
                )
                connection = stack.enter_context(tls)
                sockets.append(tls)
                tls.do_handshake()
            seen = _judge(context, parameters, _Conversation(connection), shown)
        return _too_late(shown, timeout) if cut.is_set() else seen
    except TimeoutError:
        return _too_late(shown, timeout)
    except (_ProtocolError, OSError) as error:
        if cut.is_set():
            return _too_late(shown, timeout)
        if isinstance(error, _ProtocolError):
            return failed("HEALTH_REDIS_PROTOCOL", f"{shown}: {error}")
        if isinstance(error, ssl.SSLError):
            return failed("HEALTH_REDIS_TLS", f"{shown}: {error}")
        return failed("HEALTH_REDIS_CONNECT", f"{shown}: {error.strerror or error}")


def _too_late(shown: str, timeout: float) -> ProbeResult:
    return failed("HEALTH_REDIS_TIMEOUT", f"{shown}: no complete answer within {timeout:g} s")


def _path(context: ProbeContext, path: str | None) -> Path | None:
    return None if path is None else context.workspace / path


def _connected(context: ProbeContext, parameters: RedisParameters, timeout: float) -> socket.socket:
    path = _path(context, parameters.socket)
    if path is None:
        return connect(parameters.host, parameters.port, timeout, context.clock)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
    except OSError:
        connection.close()
        raise
    return connection


def _judge(context: ProbeContext, parameters: RedisParameters, conversation: _Conversation, shown: str) -> ProbeResult:
    try:
        if parameters.password_env is not None:
            user = () if parameters.username is None else (parameters.username,)
            conversation.ask("AUTH", *user, context.secrets[parameters.password_env])
    except _ReplyError as error:
        return failed("HEALTH_REDIS_AUTH", f"{shown} refuses the password: {error}")
    try:
        if parameters.database:
            conversation.ask("SELECT", str(parameters.database))
        if conversation.ask("PING") != "PONG":
            return failed("HEALTH_REDIS_PROTOCOL", f"{shown} does not answer PING with PONG")
        wrong = _replication_problem(parameters, conversation)
        if wrong is not None:
            return failed("HEALTH_REDIS_REPLICATION", f"{shown} {wrong}")
        if parameters.key is not None:
            return _key(parameters, parameters.key, conversation, shown)
    except _ReplyError as error:
        code = "HEALTH_REDIS_AUTH" if str(error).startswith(("NOAUTH", "NOPERM")) else "HEALTH_REDIS_ERROR"
        return failed(code, f"{shown} answers an error: {str(error)[:300]}")
    return passed(f"{shown} answers")


def _replication_problem(parameters: RedisParameters, conversation: _Conversation) -> str | None:
    if parameters.role is None and parameters.min_replicas is None and parameters.max_lag_seconds is None:
        return None
    said = conversation.ask("INFO", "replication")
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else ""
    info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    role = {"slave": "replica"}.get(info.get("role", ""), info.get("role", "of no known role"))
    if parameters.role is not None and role != parameters.role:
        return f"is {role}, not {parameters.role}"
    if parameters.min_replicas is not None:
        replicas = info.get("connected_slaves", "")
        if not replicas.isdecimal() or int(replicas) < parameters.min_replicas:
            return f"has {replicas or 'no'} replicas connected, not {parameters.min_replicas}"
    if parameters.max_lag_seconds is not None:
        if info.get("master_link_status") != "up":
            return f"has no link to a master (it is {role})"
        lag = info.get("master_last_io_seconds_ago", "")
        if not lag.isdecimal() or int(lag) > parameters.max_lag_seconds:
            return f"heard from its master {lag or 'an unknown number of'} seconds ago"
    return None


def _key(parameters: RedisParameters, key: str, conversation: _Conversation, shown: str) -> ProbeResult:
    if parameters.equals is None:
        there = conversation.ask("EXISTS", key) == 1
        return passed(f"{shown} has {key!a}") if there else failed("HEALTH_REDIS_KEY", f"{shown} has no {key!a}")
    value = conversation.ask("GET", key)
    if value is None:
        return failed("HEALTH_REDIS_KEY", f"{shown} has no {key!a}")
    if value != parameters.equals.encode("utf-8", "surrogateescape"):
        return failed("HEALTH_REDIS_KEY", f"{shown}: {key!a} is not what is expected")
    return passed(f"{shown}: {key!a} is what is expected")


def _variables(parameters: RedisParameters) -> Iterable[str]:
    return () if parameters.password_env is None else (parameters.password_env,)


KIND = HealthKind(RedisParameters, probe, secret_variables=_variables, isolated=False)
