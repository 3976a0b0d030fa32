"""Performs the demonstration: sets the stage, plays the scenes, checks each, and always cleans up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.clock import SystemClock
from lonelycat.errors import StateError
from lonelycat.governance.policy_profiles import Service
from lonelycat.interfaces.demo.policy import APPROVER, SERVICE, demo_policy
from lonelycat.interfaces.demo.scenes import SCENES, TAMPERING, Expectation, Narrator, Play, Scene, edit_stored_change
from lonelycat.interfaces.demo.throwaway import Throwaway
from lonelycat.settings import DEFAULT_POLICY_PATH, Limits

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
        planned: how many scenes there are, the look at the records included.
    """

    directory: str
    kept: bool
    planned: int
    scenes: list[ScenePlayed] = field(default_factory=list)

    @property
    def as_told(self) -> bool:
        """Whether every scene was played and ended as told."""
        return len(self.scenes) == self.planned and all(scene.as_told for scene in self.scenes)


@dataclass(frozen=True)
class Programme:
    """What is performed: on which stage, how it is set, which scenes, and what must be on record afterwards."""

    stage: Callable[[], Throwaway]
    set_up: Callable[[Throwaway, Narrator], Play]
    scenes: Sequence[Scene]
    records: Callable[[Play], Sequence[Expectation]]


def perform(
    narrator: Narrator,
    programme: Programme,
    *,
    keep: bool,
    opening: Callable[[Throwaway], None],
    curtain: Callable[[Scene], None],
    verdict: Callable[[ScenePlayed], None],
    finale: Callable[[Play], None],
) -> Performance:
    """Play every scene in a fresh throwaway directory.

    Args:
        keep: leave the directory behind; what runs is ended all the same.
        opening: called when the stage is set and the service answers.
        curtain: called before each scene, ``verdict`` after it.
        finale: called before the last checks, to show the history.
    """
    stage = programme.stage()
    try:
        play = programme.set_up(stage, narrator)
        performance = Performance(str(stage.base), keep, len(programme.scenes) + 1)
        opening(stage)
        for scene in programme.scenes:
            curtain(scene)
            played = ScenePlayed(scene.name, scene.title, tuple(scene.play(play)))
            performance.scenes.append(played)
            verdict(played)
        finale(play)
        last = ScenePlayed("history", "What is on record", tuple(programme.records(play)))
        performance.scenes.append(last)
        verdict(last)
        return performance
    finally:
        stage.close(keep=keep)


def shop(scenes: Sequence[Scene] = SCENES) -> Programme:
    """Return the programme with one small web service."""
    return Programme(Throwaway, _set, scenes, _records)


def governed(stage: Throwaway, narrator: Narrator, policy: Callable[[str], str], files: Mapping[str, str]) -> Play:
    """Make the repository with ``files`` and ``policy``, which is given the approver's public key; return the play."""
    from lonelycat.runtime.service import LonelyCat

    key = stage.keys / f"{APPROVER}.key"
    public_key = LonelyCat.open(stage.workspace).new_approver_key(key, APPROVER)
    stage.make_repository({**files, DEFAULT_POLICY_PATH: policy(public_key)})
    service = LonelyCat.open(stage.workspace)
    service.init()
    return Play(stage, service, narrator, key)


def _set(stage: Throwaway, narrator: Narrator) -> Play:
    def policy(public_key: str) -> str:
        return demo_policy(port=stage.port, public_key=public_key)

    play = governed(stage, narrator, policy, FILES)
    _start_service(stage, yaml.safe_load(policy("A" * 43 + "=")))
    return play


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
    return [
        Expectation(
            "the verification finds the edit of scene 7, and only that",
            f"PROPOSAL_ALTERED {tampered}",
            ", ".join(found),
        ),
        *whole_records(play, "the audit log, with the edit taken back"),
    ]


def whole_records(play: Play, audit: str = "the audit log") -> Sequence[Expectation]:
    """Expect the audit log to be whole and every execution to be in the history."""
    first = play.service.audit_verify().first_problem
    recorded = {row.result.execution_id for row in play.service.log(limit=100)}
    missing = [result.execution_id for result in play.executions if result.execution_id not in recorded]
    return [
        Expectation(audit, "whole", "whole" if first is None else first.code),
        Expectation("executions missing in the history", "0", str(len(missing))),
    ]
