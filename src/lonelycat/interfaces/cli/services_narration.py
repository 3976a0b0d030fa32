"""Tells the demonstration with services: what runs on the stage, and how it all stands in the end."""

from __future__ import annotations

from typing import cast

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.narration import tell
from lonelycat.interfaces.cli.render.execution import end_of
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.interfaces.demo.pair.programme import services_shop
from lonelycat.interfaces.demo.pair.stage import ServicesStage, require_services
from lonelycat.interfaces.demo.performance import ScenePlayed
from lonelycat.interfaces.demo.scenes import Play
from lonelycat.interfaces.demo.throwaway import Throwaway


def narrate_services(call: Invocation, *, keep: bool) -> Report:
    """Perform the demonstration with services on the screen of ``call``.

    Raises:
        StateError: ``DEMO_SERVICES_MISSING``.
    """
    require_services()
    return tell(call, services_shop(), keep=keep, opening=_open, ending=_end)


def _open(screen: Screen, throwaway: Throwaway) -> None:
    stage = cast(ServicesStage, throwaway)
    screen.line(("LonelyCat demonstration, with services", "title"))
    screen.line(f"A throwaway repository: {stage.workspace}", indent=2)
    screen.line("Real programs under a real supervisord, all on this machine, and only as long as this runs:", indent=2)
    for name, what in (
        ("web", f"http://127.0.0.1:{stage.port}, with a pool of five connections"),
        ("postgres", f"PostgreSQL {stage.psql('show server_version')}, on a unix socket"),
        ("redis", "Redis, on a unix socket"),
        ("migrate", "the migrations: run when they change"),
    ):
        screen.line((f"{name:<10}", "id"), what, indent=4)
    screen.line("An agent with its own clone, who may only propose.", indent=2)


def _end(screen: Screen, scenes: list[ScenePlayed], play: Play) -> None:
    stage = cast(ServicesStage, play.stage)
    screen.blank()
    screen.line(("━━ How it all stands ", "title"), ("━" * 42, "dim"))
    screen.line((f"{'':<36}{'change':<13}{'served':<8}{'migration':<11}because", "dim"), indent=2)
    for standing, scene in zip(stage.standings, scenes, strict=True):
        style, title, _ = end_of(standing.result.status)
        screen.line(
            f"{standing.scene:<36}",
            (f"{title.lower():<13}", style),
            (f"{standing.version:<8}{standing.migration:<11}", "plain" if scene.as_told else "bad"),
            (standing.result.error_code or "", "dim"),
            indent=2,
        )
    screen.blank()
    counted = stage.ask("/items").get("views")
    used = stage.psql("select count(*) from pg_stat_activity where backend_type = 'client backend'")
    facts = {
        "web": f"version {stage.ask('/version').get('version')}, connections: {stage.ask('/health').get('pool')}",
        "postgres": f"{used} connections, this one included",
        "redis": f"{counted} views of the items counted",
        "migrate": f"at migration {stage.migration()}",
    }
    for one in stage.programs():
        fine = one["statename"] == ("EXITED" if one["name"] == "migrate" else "RUNNING")
        state = "has done its work" if one["name"] == "migrate" and fine else one["statename"].lower()
        screen.line(
            (f"{one['name']:<10}", "id"), (f"{state:<20}", "good" if fine else "bad"), facts[one["name"]], indent=2
        )
