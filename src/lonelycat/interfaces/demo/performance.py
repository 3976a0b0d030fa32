"""Performs the demonstration: sets the stage, plays the scenes, checks each, and always cleans up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.clock import SystemClock
from lonelycat.errors import StateError
from lonelycat.governance.policy import Service
from lonelycat.interfaces.demo.policy import APPROVER, SERVICE, demo_policy
from lonelycat.interfaces.demo.scenes import SCENES, TAMPERING, Expectation, Narrator, Play, Scene, edit_stored_change
from lonelycat.interfaces.demo.throwaway import Throwaway
from lonelycat.settings import DEFAULT_POLICY_PATH, Limits

if TYPE_CHECKING:
    from lonelycat.runtime.service import LonelyCat

FILES = {
    "README.md": "# A small shop\n\nIts web service greets visitors.\n",
    "app/settings.json": '{"guest_book": "guests.txt"}\n',
    "app/guests.txt": "Ada\nGrace\n",
    "app/prices.json": '{"fish": 3, "milk": 2}\n',
    "docs/guide.md": "# Guide\n\nAsk `/` for a greeting and `/health` for the state.\n",
}


@dataclass(frozen=True)
class ScenePlayed:
    """What came of one scene."""

    name: str
    title: str
    expectations: tuple[Expectation, ...]

    @property
    def as_told(self) -> bool:
        """Whether every expectation was met."""
        return all(expectation.met for expectation in self.expectations)


@dataclass
class Performance:
    """What came of the whole.

    Attributes:
        directory: the throwaway directory; gone unless it was kept.
    """

    directory: str
    kept: bool
    scenes: list[ScenePlayed] = field(default_factory=list)

    @property
    def as_told(self) -> bool:
        """Whether every scene was played and ended as told."""
        return len(self.scenes) == len(SCENES) + 1 and all(scene.as_told for scene in self.scenes)


def perform(
    narrator: Narrator,
    *,
    keep: bool,
    opening: Callable[[Throwaway], None],
    curtain: Callable[[Scene], None],
    verdict: Callable[[ScenePlayed], None],
    finale: Callable[[LonelyCat], None],
) -> Performance:
    """Play every scene in a fresh throwaway directory.

    Args:
        keep: leave the directory behind; the service is ended all the same.
        opening: called when the stage is set and the service answers.
        curtain: called before each scene, ``verdict`` after it.
        finale: called with the façade before the last checks, to show the history.
    """
    stage = Throwaway()
    try:
        play = _set(stage, narrator)
        performance = Performance(str(stage.base), keep)
        opening(stage)
        for scene in SCENES:
            curtain(scene)
            played = ScenePlayed(scene.name, scene.title, tuple(scene.play(play)))
            performance.scenes.append(played)
            verdict(played)
        finale(play.service)
        last = ScenePlayed("history", "What is on record", tuple(_records(play)))
        performance.scenes.append(last)
        verdict(last)
        return performance
    finally:
        stage.close(keep=keep)


def _set(stage: Throwaway, narrator: Narrator) -> Play:
    from lonelycat.runtime.service import LonelyCat

    key = stage.keys / f"{APPROVER}.key"
    public_key = LonelyCat.open(stage.workspace).new_approver_key(key, APPROVER)
    policy = demo_policy(port=stage.port, public_key=public_key)
    stage.make_repository({**FILES, DEFAULT_POLICY_PATH: policy})
    service = LonelyCat.open(stage.workspace)
    service.init()
    _start_service(stage, yaml.safe_load(policy))
    return Play(stage, service, narrator, key)


def _start_service(stage: Throwaway, policy: dict[str, Any]) -> None:
    clock = SystemClock()
    service = Service.model_validate(policy["services"][SERVICE])
    started = ServiceRestarter(stage.workspace, clock, Limits()).restart(SERVICE, service, 20.0)
    for _ in range(100):
        if stage.request("/health") == (200, "healthy"):
            return
        clock.sleep(0.05)
    raise StateError(
        "DEMO_SERVICE_DOWN",
        f"the demonstration's web service does not answer: {started.message}",
        "Is the loopback interface up? Are processes allowed here?",
    )


def _records(play: Play) -> Sequence[Expectation]:
    tampered = play.plans["tampered"]
    altered = play.service.audit_verify().problems
    found = sorted({f"{problem.code} {tampered if tampered in problem.message else '?'}" for problem in altered})
    edit_stored_change(play.stage, tampered, *reversed(TAMPERING))
    mended = play.service.audit_verify()
    first = mended.first_problem
    recorded = {row.result.execution_id for row in play.service.log(limit=100)}
    missing = [result.execution_id for result in play.executions if result.execution_id not in recorded]
    return [
        Expectation(
            "the verification finds the edit of scene 7, and only that",
            f"PROPOSAL_ALTERED {tampered}",
            ", ".join(found),
        ),
        Expectation("the audit log, with the edit taken back", "whole", "whole" if first is None else first.code),
        Expectation("executions missing in the history", "0", str(len(missing))),
    ]
