"""The scenes of the demonstration: what is tried, what must come of it, and what came of it.

Invariant: every expectation is checked against the world (files, HTTP answers, recorded results), never assumed. A
scene that did not end as told makes the demonstration fail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lonelycat.errors import LonelyCatError
from lonelycat.interfaces.demo.policy import APPROVER
from lonelycat.interfaces.demo.throwaway import Throwaway

if TYPE_CHECKING:
    from pathlib import Path

    from lonelycat.records.execution import ExecutionResult
    from lonelycat.runtime.judgement import Judgement
    from lonelycat.runtime.service import LonelyCat

AGENT = "agent:shop-helper"
TAMPERING = ("Good day", "Bad day!")


class Narrator(Protocol):
    """What a scene tells its audience."""

    def say(self, text: str) -> None:
        """Tell ``text``."""

    def run_as(self, command: str) -> None:
        """Tell which command would do the same."""

    def decided(self, judgement: Judgement) -> None:
        """Show a decision."""

    def event(self, event: dict[str, object]) -> None:
        """Show an event of an execution."""

    def ended(self, result: ExecutionResult) -> None:
        """Show an execution's end."""

    def refused(self, error: LonelyCatError) -> None:
        """Show a refusal."""


@dataclass
class Play:
    """What the scenes share.

    Attributes:
        plans: the plans of earlier scenes, by name.
        executions: every execution so far.
    """

    stage: Throwaway
    service: LonelyCat
    narrator: Narrator
    key: Path
    plans: dict[str, str] = field(default_factory=dict)
    executions: list[ExecutionResult] = field(default_factory=list)

    def propose(self, patch: bytes, intent: str) -> Judgement:
        """Propose ``patch`` as the agent, and show the decision."""
        from lonelycat.runtime.requests import ChangeRequest

        request = ChangeRequest(patch=patch, git_range=None, changeset=None, plan=None, intent=intent, by=AGENT)
        judgement = self.service.propose(request)
        self.narrator.decided(judgement)
        return judgement

    def execute(self, plan_id: str) -> ExecutionResult:
        """Execute a plan, with its steps shown.

        Raises:
            KeyboardInterrupt: it was interrupted, which ended the execution well, and ends the demonstration.
        """
        self.narrator.run_as(f"lonelycat execute {plan_id}")
        result = self.service.execute(plan_id, on_event=self.narrator.event)
        self.narrator.ended(result)
        if result.error_code == "INTERRUPTED":
            raise KeyboardInterrupt
        self.executions.append(result)
        return result

    def refusal(self, plan_id: str) -> str:
        """Try to execute a plan; return the code that it is refused with."""
        self.narrator.run_as(f"lonelycat execute {plan_id}")
        try:
            result = self.service.execute(plan_id, on_event=self.narrator.event)
        except LonelyCatError as error:
            self.narrator.refused(error)
            return error.code
        self.narrator.ended(result)
        return result.error_code or str(result.status)


@dataclass(frozen=True)
class Expectation:
    """One thing that had to be so.

    Attributes:
        what: in words.
        expected, got: as text.
    """

    what: str
    expected: str
    got: str

    @property
    def met(self) -> bool:
        """Whether it was so."""
        return self.expected == self.got


Outcome = list[Expectation]


@dataclass(frozen=True)
class Scene:
    """One scene: a title, what it is about, and the function that plays it."""

    name: str
    title: str
    story: str
    play: Callable[[Play], Outcome]


def _allowed(play: Play) -> Outcome:
    patch = play.stage.patch({"app/pages.py": ('GREETING = "Hello"', 'GREETING = "Welcome"')})
    judgement = play.propose(patch, "Greet visitors more warmly")
    play.plans["allowed"] = judgement.plan.id
    result = play.execute(judgement.plan.id)
    return [
        Expectation("the verdict", "ALLOW", str(judgement.decision.verdict)),
        Expectation("the outcome", "completed", str(result.status)),
        Expectation("the service, restarted, answers over HTTP", "200 Welcome, visitor!", _answer(play)),
    ]


def _approved(play: Play) -> Outcome:
    from lonelycat.runtime.consent import KeyConfirmation

    patch = play.stage.patch({"app/prices.json": ('"fish": 3', '"fish": 4')})
    judgement = play.propose(patch, "Raise the price of fish")
    plan_id = judgement.plan.id
    play.narrator.say("The agent tries to execute it all the same:")
    early = play.refusal(plan_id)
    play.narrator.say(f"{APPROVER} looks at it and approves, with a key that lies outside the workspace:")
    play.narrator.run_as(f"lonelycat approve {plan_id} --by {APPROVER} --key {play.key} --note 'agreed on Monday'")
    play.service.approve(plan_id, by=APPROVER, note="agreed on Monday", confirmation=KeyConfirmation(play.key))
    result = play.execute(plan_id)
    return [
        Expectation("the verdict", "NEED_APPROVAL", str(judgement.decision.verdict)),
        Expectation("executing without approval", "refused", "refused" if early != "completed" else early),
        Expectation("the outcome after approval", "completed", str(result.status)),
        Expectation("the new price is in the file", "True", str('"fish": 4' in _read(play, "app/prices.json"))),
    ]


def _denied(play: Play) -> Outcome:
    before = play.stage.tree_digest()
    patch = play.stage.patch({}, {".env": "PAYMENT_TOKEN=please-do-not-commit-me\n"})
    judgement = play.propose(patch, "Keep the payment token in the repository")
    play.narrator.say("Nobody can approve a denied change, and nobody can execute it:")
    code = play.refusal(judgement.plan.id)
    return [
        Expectation("the verdict", "DENY", str(judgement.decision.verdict)),
        Expectation("executing it", "refused", "refused" if code != "completed" else code),
        Expectation(".env exists", "False", str((play.stage.workspace / ".env").exists())),
        same_tree(play, before),
    ]


def _fails_verification(play: Play) -> Outcome:
    before = play.stage.tree_digest()
    patch = play.stage.patch({"app/pages.py": ("{GREETING}, {name}!", "{GREETING}, {nmae}!")})
    judgement = play.propose(patch, "Tidy up the greeting")
    result = play.execute(judgement.plan.id)
    return [
        Expectation("the verdict (it looks harmless)", "ALLOW", str(judgement.decision.verdict)),
        Expectation("the outcome", "rolled_back", str(result.status)),
        Expectation("the step that failed", "verify:unit-tests", failed_step(result)),
        same_tree(play, before),
        Expectation("the service answers as before", "200 Welcome, visitor!", _answer(play)),
    ]


def _fails_health(play: Play) -> Outcome:
    before = play.stage.tree_digest()
    patch = play.stage.patch({"app/settings.json": ("guests.txt", "visitors.txt")})
    judgement = play.propose(patch, "Rename the guest book in the settings")
    result = play.execute(judgement.plan.id)
    return [
        Expectation("the verdict (the tests do not cover it)", "ALLOW", str(judgement.decision.verdict)),
        Expectation("the outcome", "rolled_back", str(result.status)),
        Expectation("the step that failed", "health:web-answers", failed_step(result)),
        same_tree(play, before),
        Expectation("the service, restarted again, is healthy", "200 healthy", _answer(play, "/health")),
    ]


def _repeated(play: Play) -> Outcome:
    before = play.stage.tree_digest()
    first = play.executions[0]
    result = play.execute(play.plans["allowed"])
    return [
        Expectation("the outcome", "completed", str(result.status)),
        Expectation("it is the recorded result", "True", str(result.cached)),
        Expectation("the same execution answers", first.execution_id, result.execution_id),
        same_tree(play, before),
    ]


def _tampered(play: Play) -> Outcome:
    patch = play.stage.patch({"app/pages.py": ('GREETING = "Welcome"', 'GREETING = "Good day"')})
    judgement = play.propose(patch, "Greet visitors politely")
    before = play.stage.tree_digest()
    play.narrator.say("Somebody edits the stored change set in the database, behind LonelyCat's back:")
    changed = edit_stored_change(play.stage, judgement.plan.id, *TAMPERING)
    play.plans["tampered"] = judgement.plan.id
    code = play.refusal(judgement.plan.id)
    events = [str(record.get("type")) for record in play.service.audit_export()]
    return [
        Expectation("the verdict, before the edit", "ALLOW", str(judgement.decision.verdict)),
        Expectation("stored rows edited", "1", str(changed)),
        Expectation("executing it", "refused", "refused" if code != "completed" else code),
        Expectation("security events in the audit log", "1", str(events.count("security.tampered"))),
        same_tree(play, before),
    ]


def edit_stored_change(stage: Throwaway, plan_id: str, old: str, new: str) -> int:
    """Put ``new`` in the place of ``old`` in a stored change set, in the database itself; return how many rows."""
    with closing(sqlite3.connect(stage.workspace / ".lonelycat" / "lonelycat.db")) as database, database:
        done = database.execute(
            "UPDATE proposals SET changeset = replace(changeset, ?, ?) WHERE plan_id = ? AND instr(changeset, ?)",
            (old, new, plan_id, old),
        )
        return done.rowcount


def _answer(play: Play, path: str = "/") -> str:
    status, text = play.stage.request(path)
    return f"{status} {text}"


def _read(play: Play, path: str) -> str:
    return (play.stage.workspace / path).read_text(encoding="utf-8")


def same_tree(play: Play, before: str) -> Expectation:
    """Expect the workspace's tree to have the digest ``before``."""
    same = play.stage.tree_digest() == before
    return Expectation("the tree, byte for byte and mode for mode", "as before", "as before" if same else "different")


def failed_step(result: ExecutionResult) -> str:
    """Return the name of the step that failed first."""
    return next((step.name for step in result.steps if step.status == "failed"), "none")


SCENES: Sequence[Scene] = (
    Scene("allowed", "A change that the policy allows", "Applied, service restarted, tested, healthy: kept.", _allowed),
    Scene("approval", "A change that needs a person", "Prices are always reviewed.", _approved),
    Scene("denied", "A change that nobody may make", "Secrets do not belong into the repository.", _denied),
    Scene(
        "verification", "A change whose tests fail", "A slip that only running the tests shows.", _fails_verification
    ),
    Scene("health", "A change that breaks the running service", "All tests pass. The service does not.", _fails_health),
    Scene("repeat", "The same change again", "An agent that lost its answer sends its first change again.", _repeated),
    Scene("tampered", "A change altered after it was judged", "What was judged is applied, or nothing is.", _tampered),
)
