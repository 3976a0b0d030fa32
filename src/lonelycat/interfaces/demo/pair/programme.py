"""The programme of the demonstration with services."""

from __future__ import annotations

from typing import cast

from lonelycat.interfaces.demo.pair.policy import services_policy
from lonelycat.interfaces.demo.pair.scenes import SERVICES_SCENES
from lonelycat.interfaces.demo.pair.stage import ServicesStage
from lonelycat.interfaces.demo.performance import Programme, governed, whole_records
from lonelycat.interfaces.demo.scenes import Narrator, Play
from lonelycat.interfaces.demo.throwaway import Throwaway

_FILES = {"README.md": "# A small shop\n\nIt keeps its items in PostgreSQL and counts its visitors in Redis.\n"}


def services_shop() -> Programme:
    """Return the programme with a web service, PostgreSQL and Redis under supervisord."""
    return Programme(ServicesStage, _set_up, SERVICES_SCENES, whole_records)


def _set_up(throwaway: Throwaway, narrator: Narrator) -> Play:
    stage = cast(ServicesStage, throwaway)
    play = governed(
        stage,
        narrator,
        lambda public_key: services_policy(port=stage.port, run=str(stage.run), public_key=public_key),
        _FILES,
    )
    stage.start()
    return play
