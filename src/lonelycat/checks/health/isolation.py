"""Probes in a process of its own, for kinds whose libraries keep no time limit, start threads or may crash.

Invariants:
- The process, and everything that it started, is gone when :func:`isolated` returns; it lives no longer than its time
  limit, which includes its own start.
- It gets the environment that checks get, plus the variables that the check names, and nothing else; what it is to do
  and what it found travel through unnamed files, so that nothing of it shows in a list of processes.
- Only a complete, well-formed answer counts. A probe that dies, hangs, or answers something else has failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from lonelycat.checks.deadline import when_over
from lonelycat.checks.health.kind import Mark, ProbeContext, ProbeResult, failed
from lonelycat.checks.process import run_process
from lonelycat.clock import SystemClock
from lonelycat.errors import LonelyCatError, StepFailedError
from lonelycat.settings import Limits, child_environment

Task = Literal["probe", "mark"]
_ANSWER_BYTES = 8 * 1024 * 1024
_REPORTING_SECONDS = 0.2
"""How much earlier than its killer the process gives up itself, so that it can still say what it waited for."""


def isolated(
    task: Task, kind: str, parameters: Mapping[str, Any], context: ProbeContext, timeout: float
) -> ProbeResult | Mark | None:
    """Do ``task`` for a check of ``kind`` in a process of its own; at most ``timeout`` seconds.

    Raises:
        LonelyCatError: what the kind raised.
    """
    deadline = SystemClock().monotonic() + timeout
    job = {
        "task": task,
        "kind": kind,
        "parameters": dict(parameters),
        "workspace": os.fspath(context.workspace),
        "max_output_bytes": context.limits.max_output_bytes,
        "mark": context.mark,
        "variables": sorted(context.secrets),
        "timeout": timeout,
        "deadline": deadline - min(_REPORTING_SECONDS, timeout / 4),
    }
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as answer:
        told.write(json.dumps(job).encode())
        told.flush()
        done = run_process(
            [sys.executable, "-P", "-m", __name__, str(told.fileno()), str(answer.fileno())],
            cwd=context.workspace,
            env=child_environment(context.secrets),
            timeout=timeout,
            max_output_bytes=context.limits.max_output_bytes,
            pass_fds=(*context.pass_fds, told.fileno(), answer.fileno()),
            stop=context.stop,
            sees_host=True,
        )
        answer.seek(0)
        said = answer.read(_ANSWER_BYTES + 1)
    if done.timed_out:
        raise StepFailedError("HEALTH_TIMEOUT", f"no answer within {timeout:g} s; the probe was ended")
    if done.stopped:
        raise StepFailedError("HEALTH_STOPPED", "stopped before the probe had answered")
    if not done.ok or not said or len(said) > _ANSWER_BYTES:
        last = done.output.decode("utf-8", "replace").strip().splitlines()[-1:] or [done.message]
        how = f"signal {done.signal}" if done.signal else f"exit code {done.exit_code}"
        raise StepFailedError("HEALTH_CRASHED", f"the probe ended without an answer ({how}): {last[0]:.500}")
    return _understood(json.loads(said))


def _understood(answer: dict[str, Any]) -> ProbeResult | Mark | None:
    if "error" in answer:
        raise StepFailedError(answer["error"]["code"], answer["error"]["message"], answer["error"]["hint"])
    if "mark" in answer:
        mark: Mark | None = answer["mark"]
        return mark
    output = answer["output"].encode("utf-8", "surrogateescape")
    return ProbeResult(answer["ok"], answer["code"], answer["message"], output, answer["details"])


# -- in the process ----------------------------------------------------------------------------------------------


def _serve(told: int, answer: int) -> None:
    with os.fdopen(told, "rb") as file:
        file.seek(0)
        job = json.loads(file.read())
    with _answer_at_the_deadline(job, answer):
        said = json.dumps(_answered(job), allow_nan=False).encode()
    _write(answer, said)


@contextlib.contextmanager
def _answer_at_the_deadline(job: dict[str, Any], answer: int) -> Iterator[None]:
    """Answer that the time is up when it is, and end at once: what the probe hangs in cannot be interrupted."""

    def late() -> None:
        code = f"HEALTH_{job['kind'].upper().replace('-', '_')}_TIMEOUT"
        _write(answer, json.dumps(_told(failed(code, f"no answer within {job['timeout']:g} s"))).encode())
        os._exit(0)

    with when_over(job["deadline"] - SystemClock().monotonic(), late):
        yield


def _write(answer: int, said: bytes) -> None:
    with os.fdopen(answer, "wb") as file:
        file.write(said)


def _answered(job: dict[str, Any]) -> dict[str, Any]:
    from lonelycat.checks.health.registry import health_kind
    from lonelycat.settings import secret_values

    clock = SystemClock()
    context = ProbeContext(
        Path(job["workspace"]),
        clock,
        Limits(max_output_bytes=job["max_output_bytes"]),
        secrets=secret_values(job["variables"]),
        mark=job["mark"],
    )
    try:
        kind = health_kind(job["kind"])
        parameters = kind.parameters.model_validate(job["parameters"])
        left = max(0.001, job["deadline"] - clock.monotonic())
        if job["task"] == "mark":
            return {"mark": None if kind.take_mark is None else kind.take_mark(context, parameters, left)}
        return _told(kind.probe(context, parameters, left))
    except LonelyCatError as error:
        return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    except Exception as error:  # noqa: BLE001 - closed by default: a crashed probe is a failure
        return _told(failed("HEALTH_CRASHED", f"the probe crashed: {type(error).__name__}: {error}"))


def _told(seen: ProbeResult) -> dict[str, Any]:
    return {
        "ok": seen.ok,
        "code": seen.code,
        "message": seen.message,
        "output": seen.output.decode("utf-8", "surrogateescape"),
        "details": seen.details,
    }


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
    # A library's threads or exit handlers must not decide how long this lives: the answer is written.
    sys.stdout.flush()
    os._exit(0)
