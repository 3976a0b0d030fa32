"""Kind ``prometheus``: the one value that a query returns lies within bounds.

Invariants: no data, several series, a value that is not a number, a warning of partial data, or an answer that is not
what the API promises is inconclusive, and so a failure; only one finite number within the bounds passes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Annotated, Any, Self
from urllib.parse import urlencode

from pydantic import Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.exchange import Call, ExchangeError, HeaderName, HttpUrl, Trust, exchange, target_of
from lonelycat.checks.health.kind import HealthKind, ProbeContext, ProbeResult, VariableName, Word, failed, passed

_INCONCLUSIVE = "HEALTH_PROMETHEUS_INCONCLUSIVE"
_SHOWN_BYTES = 4096


class PrometheusParameters(Strict):
    """What to ask and between what the answer must lie.

    Attributes:
        url: of the server, without ``/api/v1/query``.
        query: a PromQL expression that gives one number: a scalar, or a vector of one series.
        min, max: the bounds, both inclusive; at least one.
        request_headers_env: request headers, and the environment variable that holds the value of each.
        verify_tls, ca_file: as in kind ``http``.
    """

    url: HttpUrl
    query: Annotated[str, Field(min_length=1, max_length=10_000)]
    min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max: Annotated[float, Field(allow_inf_nan=False)] | None = None
    request_headers_env: dict[HeaderName, VariableName] = Field(default={})
    verify_tls: bool = True
    ca_file: Annotated[Word, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min or max: that there is a value says too little")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is over max, so that it could never pass")
        if "?" in self.url or "#" in self.url:
            raise ValueError("url must have neither a query nor a fragment")
        return self


def probe(context: ProbeContext, parameters: PrometheusParameters, timeout: float) -> ProbeResult:
    """Ask once."""
    target, path = target_of(parameters.url)
    headers = {name: context.secrets[variable] for name, variable in parameters.request_headers_env.items()}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    ask = {"query": parameters.query, "timeout": f"{max(1, round(timeout * 1000))}ms"}
    call = Call("POST", f"{path.rstrip('/')}/api/v1/query", headers, urlencode(ask).encode())
    trust = Trust(parameters.verify_tls, None if parameters.ca_file is None else context.workspace / parameters.ca_file)
    try:
        answer = exchange(target, call, context.clock.monotonic() + timeout, context.clock, trust)
    except ExchangeError as error:
        why = f"no complete answer within {timeout:g} s" if error.way == "TIMEOUT" else error.why
        return failed(f"HEALTH_PROMETHEUS_{error.way}", f"{parameters.url}: {why}")
    shown = answer.body[:_SHOWN_BYTES]
    try:
        document = json.loads(answer.body) if answer.complete else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("status") not in ("success", "error"):
        return failed("HEALTH_PROMETHEUS_PROTOCOL", f"{parameters.url}: not an answer of Prometheus", shown)
    if document["status"] == "error" or answer.status != 200:
        said = f"{document.get('errorType')}: {document.get('error')}"[:300]
        return failed("HEALTH_PROMETHEUS_QUERY", f"{parameters.url} answers {answer.status}: {said}", shown)
    return _judge(parameters, document, shown)


def _judge(parameters: PrometheusParameters, document: dict[str, Any], shown: bytes) -> ProbeResult:
    name = f"query {parameters.query[:100]!a}"
    if document.get("warnings"):
        return failed(_INCONCLUSIVE, f"{name}: the server warns: {str(document['warnings'])[:300]}", shown)
    value = _only_value(document.get("data"))
    if isinstance(value, str):
        return failed(_INCONCLUSIVE, f"{name}: {value}", shown)
    low, high = parameters.min, parameters.max
    if (low is not None and value < low) or (high is not None and value > high):
        wanted = " and ".join(
            f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
        )
        return failed("HEALTH_PROMETHEUS_THRESHOLD", f"{name} gives {value:g}, not {wanted}", shown, value=value)
    return passed(f"{name} gives {value:g}", shown, value=value)


def _only_value(data: object) -> float | str:
    """Return the one number that ``data`` holds, or in words why there is none."""
    kind, result = (data.get("resultType"), data.get("result")) if isinstance(data, dict) else (None, None)
    if not isinstance(result, list) or kind not in ("scalar", "vector"):
        return f"it gives {kind or 'no result'}, not a scalar or a vector"
    sample: object = result
    if kind == "vector":
        if len(result) != 1:
            return "no data" if not result else f"{len(result)} series, not one"
        sample = result[0].get("value") if isinstance(result[0], dict) else None
    if not isinstance(sample, list) or len(sample) != 2 or not isinstance(sample[1], str):
        return "it gives no number"
    try:
        value = float(sample[1])
    except ValueError:
        return "it gives no number"
    return value if math.isfinite(value) else f"it gives {sample[1][:10]}"


def _variables(parameters: PrometheusParameters) -> Iterable[str]:
    return parameters.request_headers_env.values()


KIND = HealthKind(PrometheusParameters, probe, secret_variables=_variables, isolated=False)
