"""``kill -9`` of the real command line at each step of a run: the next command finds the workspace whole again.

With a real web service: tree, service and history agree after recovery, whatever was killed where.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance import everything
from tests.acceptance.ground import PROGRAMS, Answer, Ground, Tree
from tests.acceptance.web_service import Web
from tests.patience import PATIENCE_SECONDS, until

from lonelycat import FileChange, LonelyCatError
from lonelycat.lifecycle import Status
from lonelycat.runtime.consent import KeyConfirmation

WAITS = """
with (outside / '%s').open('a') as file:
    file.write(pathlib.Path('app/settings.txt').read_text())
turn = len((outside / '%s').read_text().splitlines())
if (outside / 'stop-at').exists() and (outside / 'stop-at').read_text() == '%s' + str(turn):
    (outside / 'reached').touch()
    time.sleep(60)
"""
OTHER = FileChange.create("docs/other.md", "another change\n")
FEW = [
    FileChange.update("app/private.txt", "kept to its owner\n", "still\n"),
    FileChange.rename("lonely/moved.txt", "made/deep/below/moved.txt", "moves\n", new_content="moved\n"),
    FileChange.delete("becomes/file/inner.txt", "in a directory\n"),
    FileChange.create("becomes/file", "a file now\n", mode="100755"),
]
SLICES = [pytest.param(3, id="a slice"), pytest.param(1, id="all", marks=pytest.mark.long)]
"""How far apart the calls are at which a process is killed."""


def _waiting(ground: Ground, name: str) -> list[str]:
    """Return a command that notes the settings it saw, and waits to be killed when its turn is asked for."""
    return ground.argv(WAITS % (name, name, name))


class Forks:
    """The real command line in a fork of a warm process, killed where a test says."""

    def __init__(self, scratch: Path) -> None:
        self._out = scratch / "answer.json"
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "dying.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, root: Path, *arguments: str, call: int = 0, event: int = 0, step: str = "") -> Answer:
        """Run one command; its exit code is -9 when it was killed: before a call, after an event, when a step ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        argv = ["-C", str(root), "--json", *arguments]
        job = {"argv": argv, "out": str(self._out), "call": call, "event": event, "step": step}
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        said = self._out.read_text(encoding="utf-8")
        return Answer(code, json.loads(said) if said else {})

    def close(self) -> None:
        """End the warm process."""
        self._process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    one = Forks(tmp_path)
    yield one
    one.close()


class Scene:
    """A prepared workspace, of which each run gets a fresh copy, and the trees before and after its change."""

    def __init__(self, ground: Ground, changes: Sequence[FileChange], **fields: Any) -> None:
        self._original = ground.base / "original"
        self.ground = ground
        self.plan_id = ground.keep(changes).plan.id
        self.other_id = ground.keep([OTHER]).plan.id
        self.before = ground.tree()
        shutil.copytree(ground.root, self._original, symlinks=True)
        assert ground.run("execute", self.plan_id).exit == 0
        self.after = ground.tree()
        assert self.after != self.before
        self.reset()

    def reset(self) -> None:
        """Put the workspace back as it was before the change was executed, and forget what the checks noted."""
        shutil.rmtree(self.ground.root)
        shutil.copytree(self._original, self.ground.root, symlinks=True)
        for item in self.ground.outside.iterdir():
            item.unlink()

    def assert_recovered(self, where: object) -> bool:
        """The tree is as before or as after, and history, audit log and services agree; tell whether it is as after."""
        ground, cat = self.ground, self.ground.cat()
        now: Tree = ground.tree()
        now.pop("docs/other.md", None)
        now.pop("docs", None)
        assert now in (self.before, self.after), (where, now)
        kept = now == self.after
        rows = cat.log(plan_id=self.plan_id)
        statuses = [row.result.status for row in rows]
        assert len(rows) <= 1, (where, statuses)
        assert all(row.intact for row in rows), where
        assert (statuses == [Status.COMPLETED]) if kept else (Status.COMPLETED not in statuses), (where, statuses)
        status, report = cat.status(), cat.audit_verify()
        assert report.ok, (where, report.problems)
        assert (ground.leftovers(), status.unfinished, status.frozen, status.holder) == ([], (), None, None), where
        restarts = ground.noted("restart")
        if restarts:
            assert restarts[-1] == ("new" if kept else "old"), (where, restarts)
        return kept


@pytest.fixture
def serviced(ground: Ground) -> Scene:
    """A change of every kind, with a restart, a verification and a health check that run real commands."""
    everything.prepare(ground)
    ground.policy["verification"]["look"]["argv"] = _waiting(ground, "verify")
    ground.policy["services"] = {
        "app": {"kind": "command", "with": {"argv": _waiting(ground, "restart")}, "touches": ["app/**"], "timeout": 60}
    }
    ground.policy["health_checks"] = {
        "answers": {
            "kind": "command",
            "with": {"argv": _waiting(ground, "health")},
            "touches": ["app/**"],
            "timeout": 60,
            "attempts": 1,
        }
    }
    ground.policy["categories"] = {"app": {"paths": ["app/**"], "risk": "MEDIUM"}}
    ground.begin({"README.md": "# Crash\n"})
    return Scene(ground, everything.changes())


@pytest.fixture
def quick(ground: Ground) -> Scene:
    """A change of four kinds, with nothing to run but the executor itself."""
    everything.prepare(ground)
    ground.policy["executor"]["require_verification_for_risk"] = []
    del ground.policy["verification"]
    ground.begin({"README.md": "# Crash\n"})
    return Scene(ground, FEW)


class Serving:
    """A web service that answers with the version that it was started with; every change of it has to be confirmed."""

    def __init__(self, web: Web) -> None:
        self.web, self.ground = web, web.ground
        self._key = self.ground.base / "ada.pem"
        public = self.ground.cat().new_approver_key(self._key, "Ada")
        self.ground.policy["approvals"] = {"approvers": {"Ada": {"public_key": public}}}
        self.ground.policy["executor"]["watch"] = {"seconds": 0.3, "interval": 0.1}
        self.ground.policy["executor"]["confirm"] = 60
        self.ground.begin({"web/state": "v0\n"})
        with self.confirming():
            assert self.ground.execute(self.propose("v1")[1]).success
        assert web.ask() == (200, "v1")

    @property
    def version(self) -> str:
        return (self.ground.root / "web/state").read_text(encoding="utf-8").strip()

    def propose(self, version: str) -> tuple[str, Any]:
        """Return the plan that makes it ``version``, and what was proposed."""
        proposed = self.ground.keep([FileChange.update("web/state", f"{self.version}\n", f"{version}\n")])
        return proposed.plan.id, proposed

    @contextmanager
    def confirming(self) -> Iterator[None]:
        """Let somebody confirm whatever waits to be confirmed."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                with suppress(LonelyCatError):
                    cat = self.ground.cat()
                    asked = cat.status().awaiting_confirmation
                    if asked is not None:
                        cat.confirm(asked.execution_id, by="Ada", confirmation=KeyConfirmation(self._key))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def assert_recovered(self, plan_id: str, before: str, where: object) -> bool:
        """Tree, service and history say the same; tell whether the change was kept."""
        ground, cat = self.ground, self.ground.cat()
        assert self.web.ask() == (200, self.version), where
        kept = self.version != before
        statuses = [row.result.status for row in cat.log(plan_id=plan_id)]
        assert (statuses == [Status.COMPLETED]) if kept else (Status.COMPLETED not in statuses), (where, statuses)
        status, report = cat.status(), cat.audit_verify()
        assert report.ok, (where, report.problems)
        assert (ground.leftovers(), status.unfinished, status.frozen, status.holder) == ([], (), None, None), where
        assert (status.pending_restarts, status.awaiting_confirmation) == ((), None), where
        return kept


@pytest.fixture
def serving(ground: Ground) -> Iterator[Serving]:
    with Web(ground).running() as web:
        yield Serving(web)


STRIDES = [pytest.param(7, id="a slice"), pytest.param(1, id="all", marks=pytest.mark.long)]
"""How far apart the events are after which a process that serves is killed."""


@pytest.mark.parametrize("stride", STRIDES)
def test_killed_at_every_event_with_a_service_a_watch_and_a_confirmation(
    serving: Serving, forks: Forks, stride: int
) -> None:
    """Baseline, each restart begun and done, watch, wait, commit: the service runs with what the tree holds."""
    ground, kept = serving.ground, []
    with serving.confirming():
        for event in range(2, 200, stride):
            before = serving.version
            plan_id, _ = serving.propose(f"version {event}")
            died = forks.run(ground.root, "execute", plan_id, event=event)
            if died.exit == 0:
                break
            assert died.exit == -signal.SIGKILL, died
            assert forks.run(ground.root, "recover").exit == 0, event
            kept.append(serving.assert_recovered(plan_id, before, event))
    assert event > 35, "a run has more events than that"
    assert kept == sorted(kept), "once it is kept, it stays kept"
    assert (stride > 1) or set(kept) == {False, True}


@pytest.mark.parametrize("stride", STRIDES)
def test_killed_at_every_event_of_a_rollback_with_a_service(serving: Serving, forks: Forks, stride: int) -> None:
    """The new version is sick: health fails, files go back, the service is restarted; killed anywhere in that."""
    ground = serving.ground
    for event in range(12, 200, stride):
        before = serving.version
        draft = [FileChange.update("web/state", f"{before}\n", "sick\n"), FileChange.create(f"n{event}", "new\n")]
        plan_id = ground.keep(draft).plan.id
        died = forks.run(ground.root, "execute", plan_id, event=event)
        if died.exit != -signal.SIGKILL:
            assert (died.exit, died.facts["status"]) == (6, "rolled_back"), died
            break
        assert forks.run(ground.root, "recover").exit == 0, event
        assert not serving.assert_recovered(plan_id, before, event)
        assert not (ground.root / f"n{event}").exists()
    assert event > 28


def test_killed_again_at_every_event_of_a_recovery_with_a_service(serving: Serving, forks: Forks) -> None:
    """A recovery that dies while it restarts or asks for health is recovered by the next one."""
    ground = serving.ground
    events = 0
    for event in range(1, 50):
        before = serving.version
        plan_id, _ = serving.propose(f"version {event}")
        assert forks.run(ground.root, "execute", plan_id, step="restart:web").exit == -signal.SIGKILL
        version = f"version {event}"
        until(lambda version=version: serving.web.ask() == (200, version), "the new version to serve")  # type: ignore[misc]
        died = forks.run(ground.root, "recover", event=event)
        assert forks.run(ground.root, "recover").exit == 0, event
        assert not serving.assert_recovered(plan_id, before, event)
        if died.exit == 0:
            break
        events += 1
    assert events == 6, "a restart and two health checks, each begun and ended"


@pytest.mark.parametrize("stop_at", ["health1", "restart1", "verify1", "health2"])
def test_killed_while_a_check_runs(serviced: Scene, stop_at: str) -> None:
    """A process of its own, killed from outside in the middle of the baseline, restart, verification or health."""
    ground = serviced.ground
    (ground.outside / "stop-at").write_text(stop_at, encoding="utf-8")
    process = ground.start("execute", serviced.plan_id)
    until((ground.outside / "reached").exists, f"the run to reach {stop_at}")
    assert ground.tree() == (serviced.before if stop_at == "health1" else serviced.after)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)
    (ground.outside / "stop-at").unlink()
    answer = ground.run("recover")
    assert answer.exit == 0
    assert [item["outcome"] for item in answer.facts["recovered"]] == ([] if stop_at == "health1" else ["undone"])
    assert not serviced.assert_recovered(stop_at)
    if stop_at != "health1":
        assert ground.noted("restart")[-2:] == ["new", "old"], "what had been restarted is restarted with the old files"
    again = ground.run("execute", serviced.plan_id)
    assert (again.exit, again.facts["status"]) == (0, "completed")
    assert ground.tree() == serviced.after
    assert ground.noted("restart")[-1] == "new"


def test_killed_at_every_event_of_a_run(serviced: Scene, forks: Forks) -> None:
    """After each beginning and end of each step; the next command is another execution, which recovers first."""
    ground = serviced.ground
    endings = []
    for event in range(1, 100):
        serviced.reset()
        died = forks.run(ground.root, "execute", serviced.plan_id, event=event)
        if died.exit == 0:
            break
        assert died.exit == -signal.SIGKILL
        other = forks.run(ground.root, "execute", serviced.other_id)
        assert (other.exit, other.facts["status"]) == (0, "completed"), (event, other)
        assert (ground.root / "docs/other.md").read_text(encoding="utf-8") == "another change\n"
        endings.append(serviced.assert_recovered(event))
    assert event > 25, "a run has more events than that"
    assert endings == sorted(endings), "once it is kept, it stays kept"
    assert set(endings) == {False, True}


@pytest.mark.parametrize("stride", SLICES)
def test_killed_at_every_system_call(quick: Scene, forks: Forks, stride: int) -> None:
    """Before each call that changes anything: staging, journal, apply, commit, records, clean-up, the lock itself."""
    ground = quick.ground
    endings = []
    for call in range(1, 1000, stride):
        quick.reset()
        died = forks.run(ground.root, "execute", quick.plan_id, call=call)
        if died.exit == 0:
            break
        assert died.exit == -signal.SIGKILL
        assert forks.run(ground.root, "recover").exit == 0, call
        endings.append(quick.assert_recovered(call))
    assert call > 55
    assert endings == sorted(endings)
    assert set(endings) == {False, True}


@pytest.mark.parametrize("stride", SLICES)
def test_killed_again_in_the_middle_of_recovery(quick: Scene, forks: Forks, stride: int) -> None:
    """A recovery that dies at any call is recovered by the next one."""
    ground = quick.ground
    (apply_done,) = _event_numbers(quick, forks, "apply")
    for call in range(1, 1000, stride):
        quick.reset()
        assert forks.run(ground.root, "execute", quick.plan_id, event=apply_done).exit == -signal.SIGKILL
        assert ground.tree() == quick.after
        died = forks.run(ground.root, "recover", call=call)
        if died.exit == 0:
            break
        assert forks.run(ground.root, "recover").exit == 0, call
        assert not quick.assert_recovered(call)
    assert call > 30


def _event_numbers(scene: Scene, forks: Forks, step: str) -> list[int]:
    """Return the number of the event that ends ``step``, from the evidence of a whole run."""
    scene.reset()
    answer = forks.run(scene.ground.root, "execute", scene.plan_id)
    path = scene.ground.root / ".lonelycat/executions" / answer.facts["execution_id"] / "events.jsonl"
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [n for n, event in enumerate(events, 1) if (event["type"], event.get("step")) == ("step.finished", step)]
