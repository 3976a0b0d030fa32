"""Kind ``http``: one request, judged by status, headers, body, JSON values and the end of the certificate.

Invariants:
- The whole exchange keeps the time limit (``exchange.py``); redirects are followed only when told, and get no secret.
- Only a complete answer passes: garbage, a cut body or an answer over the limit that had to be judged is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self
from urllib.parse import urljoin

from pydantic import BeforeValidator, Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.exchange import (
    Answer,
    Call,
    ExchangeError,
    HeaderName,
    HeaderValue,
    HttpUrl,
    Trust,
    check_url,
    exchange,
    target_of,
)
from lonelycat.checks.health.json_pointer import MISSING, look_up, same_json
from lonelycat.checks.health.kind import (
    MATCH_BYTES,
    HealthKind,
    Pattern,
    ProbeContext,
    ProbeResult,
    VariableName,
    Word,
    failed,
    passed,
)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_SHOWN_BYTES = 4096
_DAY_SECONDS = 86_400


def _statuses(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, int | str) else value


Status = Annotated[int, Field(ge=100, le=599)] | Annotated[str, Field(pattern=r"^[1-5][0-9][0-9]-[1-5][0-9][0-9]$")]


class HttpParameters(Strict):
    """What to ask and what to expect.

    Attributes:
        status: one status, a list, or ranges such as ``200-299``.
        headers: response headers and the pattern that each must match.
        body_contains, body_matches: text or a pattern (on the first 64 KiB) that the body must hold.
        json_equals: JSON pointers (RFC 6901) into the body and the value that each must have.
        request_headers_env: request headers, and the environment variable that holds the value of each.
        verify_tls: whether the certificate must be valid; off is for a self-signed service on this host.
        ca_file: the authorities to believe instead of the system's; absolute, or relative to the workspace root.
        min_tls_days: for how many days more the certificate must be valid.
    """

    url: HttpUrl
    method: Literal["GET", "HEAD"] = "GET"
    request_headers: dict[HeaderName, HeaderValue] = Field(default={})
    request_headers_env: dict[HeaderName, VariableName] = Field(default={})
    status: Annotated[tuple[Status, ...], BeforeValidator(_statuses), Field(min_length=1)] = ("200-299",)
    headers: dict[HeaderName, Pattern] = Field(default={})
    body_contains: Annotated[str, Field(min_length=1)] | None = None
    body_matches: Pattern | None = None
    json_equals: dict[Annotated[str, Field(pattern=r"^(/.*)?$")], Any] = Field(default={})
    follow_redirects: bool = False
    verify_tls: bool = True
    ca_file: Annotated[Word, Field(min_length=1)] | None = None
    min_tls_days: Annotated[float, Field(gt=0, le=10_000)] | None = None
    max_body_bytes: Annotated[int, Field(ge=1, le=16 * 1024 * 1024)] = 1024 * 1024

    @model_validator(mode="after")
    def _body_is_read(self) -> Self:
        if self.method == "HEAD" and (self.body_contains or self.body_matches or self.json_equals):
            raise ValueError("method HEAD has no body to check")
        if self.min_tls_days is not None and not self.url.startswith("https:"):
            raise ValueError("min_tls_days needs an https:// URL")
        return self

    def expects(self, status: int) -> bool:
        """Whether ``status`` is among the expected ones."""
        for item in self.status:
            low, _, high = item.partition("-") if isinstance(item, str) else (item, "", item)
            if int(low) <= status <= int(high):
                return True
        return False


def probe(context: ProbeContext, parameters: HttpParameters, timeout: float) -> ProbeResult:
    """Ask once, following at most five redirects when told to."""
    url = parameters.url
    deadline = context.clock.monotonic() + timeout
    ca_file = None if parameters.ca_file is None else context.workspace / parameters.ca_file
    trust = Trust(parameters.verify_tls, ca_file)
    secrets = {name: context.secrets[variable] for name, variable in parameters.request_headers_env.items()}
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            target, path = target_of(url)
            # A secret goes where the policy sends it, not where a redirect points.
            headers = {**parameters.request_headers, **(secrets if url == parameters.url else {})}
            call = Call(parameters.method, path, headers, max_body_bytes=parameters.max_body_bytes)
            answer = exchange(target, call, deadline, context.clock, trust)
            location = answer.headers.get("Location")
            if not (parameters.follow_redirects and answer.status in _REDIRECTS and location):
                return _judge(context, parameters, url, answer)
            url = check_url(urljoin(url, location))
    except ExchangeError as error:
        why = f"no complete answer within {timeout:g} s" if error.way == "TIMEOUT" else error.why
        return failed(f"HEALTH_HTTP_{error.way}", f"{url}: {why}")
    except ValueError as error:
        return failed("HEALTH_HTTP_PROTOCOL", f"{url}: the redirect cannot be followed: its target {error}")
    return failed("HEALTH_HTTP_REDIRECTS", f"{parameters.url}: over {_MAX_REDIRECTS} redirects")


def _judge(context: ProbeContext, parameters: HttpParameters, url: str, answer: Answer) -> ProbeResult:
    shown = answer.body[:_SHOWN_BYTES]
    if parameters.min_tls_days is not None:
        expiry = _expiry_problem(context, parameters.min_tls_days, answer)
        if expiry is not None:
            return failed("HEALTH_HTTP_TLS_EXPIRY", f"{url}: {expiry}", shown)
    if not parameters.expects(answer.status):
        return failed(f"HEALTH_HTTP_{answer.status}", f"{url} answers {answer.status}", shown, status=answer.status)
    for name, pattern in parameters.headers.items():
        value = answer.headers.get(name)
        if value is None or not re.search(pattern, value[:MATCH_BYTES]):
            return failed("HEALTH_HTTP_HEADER", f"{url}: header {name} does not match {pattern!r}", shown)
    text = answer.body.decode("utf-8", "replace")
    if parameters.body_contains is not None and parameters.body_contains not in text:
        return failed("HEALTH_HTTP_BODY", f"{url}: the body does not contain {parameters.body_contains!r}", shown)
    if parameters.body_matches is not None and not re.search(parameters.body_matches, text[:MATCH_BYTES]):
        return failed("HEALTH_HTTP_BODY", f"{url}: the body does not match {parameters.body_matches!r}", shown)
    if parameters.json_equals:
        wrong = _json_problem(parameters, answer)
        if wrong is not None:
            return failed("HEALTH_HTTP_JSON", f"{url}: {wrong}", shown)
    return passed(f"{url} answers {answer.status}", shown, status=answer.status)


def _expiry_problem(context: ProbeContext, days: float, answer: Answer) -> str | None:
    ends = answer.certificate_ends
    if ends is None:
        return "the server showed no certificate, so that its end is unknown"
    left = (ends - context.clock.now()).total_seconds() / _DAY_SECONDS
    return None if left >= days else f"the certificate ends in {left:.1f} days, on {ends:%Y-%m-%d}; {days:g} are wanted"


def _json_problem(parameters: HttpParameters, answer: Answer) -> str | None:
    import json

    if not answer.complete:
        return f"the body is over {parameters.max_body_bytes} bytes"
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    for pointer, expected in parameters.json_equals.items():
        found = look_up(document, pointer)
        if found is MISSING:
            return f"the body has no {pointer or 'value'}"
        if not same_json(found, expected):
            return f"{pointer or 'the body'} is not {expected!r}"
    return None


def _variables(parameters: HttpParameters) -> Iterable[str]:
    return parameters.request_headers_env.values()


KIND = HealthKind(HttpParameters, probe, secret_variables=_variables, isolated=False)
