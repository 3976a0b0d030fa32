"""The scenes of the demonstration with services. As in the other: every expectation is checked against the world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from lonelycat.interfaces.demo.pair.stage import ServicesStage, Standing
from lonelycat.interfaces.demo.policy import APPROVER
from lonelycat.interfaces.demo.scenes import Expectation, Outcome, Play, Scene, failed_step, same_tree

if TYPE_CHECKING:
    from lonelycat.records.execution import ExecutionResult
    from lonelycat.runtime.judgement import Judgement

_STOCK = """-- up
alter table items add column stock integer not null default 10;
-- down
alter table items drop column stock;
"""
_DISCOUNT = """-- up
alter table items add column discount integer not null default 0;
update items set discont = 1 where price > 4;
-- down
alter table items drop column discount;
"""
_COLOUR = """-- up
alter table items add column colour text not null default 'grey';
-- down
alter table items drop column colour;
"""
_HANG = '''    """Serve until ended."""
    while not os.path.exists("/nowhere/licence"):  # noqa: PTH110
        __import__("time").sleep(1)
'''


def _stage(play: Play) -> ServicesStage:
    return cast(ServicesStage, play.stage)


def _approve_and_execute(play: Play, judgement: Judgement, note: str) -> ExecutionResult:
    from lonelycat.runtime.consent import KeyConfirmation

    plan_id = judgement.plan.id
    play.narrator.run_as(f"lonelycat approve {plan_id} --by {APPROVER} --key {play.key} --note '{note}'")
    play.service.approve(plan_id, by=APPROVER, note=note, confirmation=KeyConfirmation(play.key))
    return play.execute(plan_id)


def _noting(name: str, play_it: Callable[[Play], Outcome]) -> Callable[[Play], Outcome]:
    """Return ``play_it``, which then also notes how things stand afterwards."""

    def play_and_note(play: Play) -> Outcome:
        outcome = play_it(play)
        _stage(play).standings.append(Standing(name, play.executions[-1], _version(play), _schema(play)))
        return outcome

    return play_and_note


def _migrated(play: Play) -> Outcome:
    edits = {"app/items.py": ('VERSION = "1.0"\nCOLUMNS = ("id", "name", "price")',
                              'VERSION = "1.1"\nCOLUMNS = ("id", "name", "price", "stock")')}  # fmt: skip
    patch = play.stage.patch(edits, {"migrations/0002_stock.sql": _STOCK})
    judgement = play.propose(patch, "Show what is in stock")
    play.narrator.say(f"A migration outlives a rollback of files, so {APPROVER} has a look:")
    result = _approve_and_execute(play, judgement, "has a way back")
    return [
        Expectation("the verdict", "NEED_APPROVAL", str(judgement.decision.verdict)),
        Expectation("the outcome", "completed", str(result.status)),
        Expectation("restarted, in this order", "migrate, web", _restarted(result)),
        Expectation("the version that is served", "1.1", _version(play)),
        Expectation("the database is at migration", "2", _schema(play)),
        Expectation("an item as customers see it", "fish, 10 in stock", _fish(play)),
    ]


def _broken_migration(play: Play) -> Outcome:
    before, data = play.stage.tree_digest(), _data(play)
    edits = {"app/items.py": ('VERSION = "1.1"\nCOLUMNS = ("id", "name", "price", "stock")',
                              'VERSION = "1.2"\nCOLUMNS = ("id", "name", "price", "stock", "discount")')}  # fmt: skip
    patch = play.stage.patch(edits, {"migrations/0003_discount.sql": _DISCOUNT})
    judgement = play.propose(patch, "Discounts for what is dear")
    result = _approve_and_execute(play, judgement, "looks fine")
    return [
        Expectation("the outcome", "rolled_back", str(result.status)),
        Expectation("the step that failed", "restart:migrate", failed_step(result)),
        same_tree(play, before),
        Expectation("the version that is served", "1.1", _version(play)),
        Expectation("the database is at migration", "2", _schema(play)),
        Expectation("the data in the database", data, _data(play)),
    ]


def _leaking(play: Play) -> Outcome:
    before = play.stage.tree_digest()
    edits = {"app/items.py": ("    with pool.connection() as connection:\n        rows = connection",
                              "    connection = pool.take()\n    rows = connection")}  # fmt: skip
    patch = play.stage.patch(edits)
    judgement = play.propose(patch, "Simplify how items are read")
    result = play.execute(judgement.plan.id)
    steps = {step.name: step.status for step in result.steps}
    return [
        Expectation("the verdict (it looks harmless)", "ALLOW", str(judgement.decision.verdict)),
        Expectation(
            "the tests, and the first look at the service",
            "ok, ok",
            f"{steps.get('verify:unit-tests')}, {steps.get('health:web-healthy')}",
        ),
        Expectation("the step that failed", "health:items-keep-coming", failed_step(result)),
        Expectation("the outcome", "rolled_back", str(result.status)),
        same_tree(play, before),
        Expectation(
            "the pool of the service that runs now", "5 of 5 free", str(_stage(play).ask("/health").get("pool"))
        ),
        Expectation("thirty requests, one after the other", "30 served", _served(play, 30)),
    ]


def _hanging(play: Play) -> Outcome:
    before, data = play.stage.tree_digest(), _data(play)
    edits = {
        "app/items.py": ('VERSION = "1.1"\nCOLUMNS = ("id", "name", "price", "stock")',
                         'VERSION = "1.2"\nCOLUMNS = ("id", "name", "price", "stock", "colour")'),
        "app/web.py": ('    """Serve until ended."""\n', _HANG),
    }  # fmt: skip
    patch = play.stage.patch(edits, {"migrations/0003_colour.sql": _COLOUR})
    judgement = play.propose(patch, "Colours, and wait for the licence file")
    result = _approve_and_execute(play, judgement, "why not")
    steps = {step.name: step.status for step in result.steps}
    return [
        Expectation("its migration", "ok", steps.get("restart:migrate", "not run")),
        Expectation("the step that failed", "restart:web", failed_step(result)),
        Expectation("because", "SERVICE_NOT_READY", str(result.error_code)),
        Expectation("the outcome", "rolled_back", str(result.status)),
        same_tree(play, before),
        Expectation(
            "taking the migration back, by the old code", "ok", steps.get("rollback.restart:migrate", "not done")
        ),
        Expectation("the database is at migration", "2", _schema(play)),
        Expectation("the data in the database", data, _data(play)),
        Expectation("the version that is served", "1.1", _version(play)),
        Expectation("the service", "healthy", str(_stage(play).ask("/health").get("status"))),
    ]


def _restarted(result: ExecutionResult) -> str:
    return ", ".join(step.name.removeprefix("restart:") for step in result.steps if step.name.startswith("restart:"))


def _version(play: Play) -> str:
    return str(_stage(play).ask("/version").get("version"))


def _schema(play: Play) -> str:
    return _stage(play).migration()


def _data(play: Play) -> str:
    return _stage(play).psql("select count(*) || ' items, ' || md5(string_agg(t::text, ';' order by id)) from items t")


def _fish(play: Play) -> str:
    items = _stage(play).ask("/items").get("items") or [{}]
    return f"{items[0].get('name')}, {items[0].get('stock')} in stock"


def _served(play: Play, times: int) -> str:
    return f"{sum(play.stage.request('/items')[0] == 200 for _ in range(times))} served"


def _scene(name: str, title: str, story: str, play_it: Callable[[Play], Outcome]) -> Scene:
    return Scene(name, title, story, _noting(title, play_it))


SERVICES_SCENES: Sequence[Scene] = (
    _scene(
        "migration",
        "New code together with a migration",
        "The database first, then the service, each when ready.",
        _migrated,
    ),
    _scene(
        "broken-migration",
        "A migration that fails half way",
        "Its second statement has a slip of the pen.",
        _broken_migration,
    ),
    _scene(
        "leak",
        "Code that leaks connections",
        "The tests pass, the service says that it is healthy, and its pool runs dry.",
        _leaking,
    ),
    _scene(
        "hang",
        "A service that hangs on start",
        "Its migration is in the database, supervisord says RUNNING, and nobody answers.",
        _hanging,
    ),
)
