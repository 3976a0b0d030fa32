"""The ground that the acceptance tests stand on: a real git repository, a policy with real commands, real processes.

Invariant: everything lies below one temporary directory. ``workspace`` is governed; ``outside`` is where the checks
note what they saw, so that a test can ask afterwards whether and when they ran. Out of a sandbox they could not, so the
policy lets them run without one; what a sandbox does is tested in ``tests/sandbox``.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_SECONDS

from lonelycat import (
    ChangePlan,
    ChangeSet,
    ExecutionResult,
    Executor,
    FileChange,
    GovernanceApproval,
    GovernanceDecision,
    LonelyCat,
    Planner,
    WriteGate,
)
from lonelycat.governance.decision import context_digest
from lonelycat.governance.policy import Verdict
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.records.keys import load_private_key
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.execution_request import Options, Request
from lonelycat.runtime.pipeline import Pipeline
from lonelycat.settings import Settings

PROGRAMS = Path(__file__).with_name("programs")
POLICY_PATH = "agent/policies/default.yaml"
_UNGOVERNED = (".git", ".lonelycat")
Tree = dict[str, tuple[str, str, bytes]]


@dataclass(frozen=True)
class Proposed:
    """What was proposed, and what the gate said."""

    plan: ChangePlan
    changeset: ChangeSet
    decision: GovernanceDecision


@dataclass(frozen=True)
class Answer:
    """What the command line said with ``--json``."""

    exit: int
    facts: dict[str, Any]


class Ground:
    """One workspace and what is around it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "workspace"
        self.outside = base / "outside"
        self.root.mkdir()
        self.outside.mkdir()
        self.policy: dict[str, Any] = {
            "version": 1,
            "name": "acceptance",
            "executor": {
                "allowed_paths": ["**"],
                "forbidden_paths": [".env", ".env.*", "*.pem"],
                "constraints": {"max_execution_time": 100, "max_step_time": 60},
            },
            "verification": {"look": {"argv": self.argv("pass"), "timeout": 60}},
            "content": {"symlinks": "allow", "binary": "allow", "executable_bit": "allow"},
        }

    # -- making the ground ---------------------------------------------------------------------------------------

    def argv(self, code: str) -> list[str]:
        """Return the command that runs ``code`` in a bare interpreter, with ``outside`` in the variable of that name.

        The program runs in the workspace.
        """
        head = f"import os, pathlib, sys, time; outside = pathlib.Path({str(self.outside)!r})\n"
        return ["{python}", "-I", "-S", "-c", _without_placeholders(head + code)]

    def write(self, files: Mapping[str, bytes | str], mode: int = 0o644) -> None:
        """Write ``files`` below the workspace."""
        for path, content in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
            target.chmod(mode)

    def begin(self, files: Mapping[str, bytes | str] | None = None) -> Ground:
        """Write the policy and ``files`` and make it a git repository with one commit; return the ground."""
        self.write(files or {"app/settings.txt": "old\n"})
        self.write_policy()
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("commit", "--quiet", "--message=The workspace as it was found"),
        ):
            self.git(*arguments)
        return self

    def write_policy(self) -> None:
        """Write the policy as it is now; JSON is YAML. Profiles that do not say otherwise run without a sandbox."""
        self.policy["executor"].setdefault("verification", {"unsandboxed": "allow"})
        for profile in self.policy.get("verification", {}).values():
            profile.setdefault("sandbox", {"enabled": False})
        self.write({POLICY_PATH: json.dumps(self.policy, indent=1)})

    def git(self, *arguments: str) -> bytes:
        """Run git in the workspace, under nobody's configuration."""
        identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.base),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.root, env=environment, check=True, capture_output=True
        )
        return done.stdout

    # -- looking -------------------------------------------------------------------------------------------------

    def tree(self) -> Tree:
        """Return every path of the workspace but git's and LonelyCat's: kind, permission bits, bytes or target."""
        found: Tree = {}
        for path in sorted(self.root.rglob("*")):
            relative = path.relative_to(self.root)
            if relative.parts[0] in _UNGOVERNED:
                continue
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                found[str(relative)] = ("link", "", os.readlink(os.fsencode(path)))
            elif stat.S_ISDIR(status.st_mode):
                found[str(relative)] = ("directory", f"{stat.S_IMODE(status.st_mode):o}", b"")
            else:
                found[str(relative)] = ("file", f"{stat.S_IMODE(status.st_mode):o}", path.read_bytes())
        return found

    def inodes(self) -> dict[str, tuple[int, int, int]]:
        """Return what shows that a path was touched, even if it holds the same again: inode and times."""
        return {
            str(path.relative_to(self.root)): (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
            for path in sorted(self.root.rglob("*"))
            if path.relative_to(self.root).parts[0] not in _UNGOVERNED
            for found in [path.lstat()]
        }

    def leftovers(self) -> list[str]:
        """Return what is left in ``.lonelycat/tx``."""
        directory = self.root / ".lonelycat" / "tx"
        return sorted(item.name for item in directory.iterdir()) if directory.is_dir() else []

    def noted(self, name: str) -> list[str]:
        """Return the lines that checks wrote to a file of ``outside``."""
        path = self.outside / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def security_events(self) -> list[dict[str, Any]]:
        """Return the payloads of the audit log's security events."""
        events: list[dict[str, Any]] = []
        for record in self.cat().audit_export():
            if record["type"] == "security.tampered":
                payload = record["payload"]
                events.append(json.loads(payload) if isinstance(payload, str) else dict(payload))  # type: ignore[call-overload]  # a JSON object
        return events

    def assert_sound(self) -> None:
        """Nothing is left half done, and the evidence agrees with itself."""
        assert self.leftovers() == []
        report = self.cat().audit_verify()
        assert report.ok, report.problems
        assert self.cat().status().frozen is None

    # -- the library ---------------------------------------------------------------------------------------------

    def cat(self) -> LonelyCat:
        """Return the façade, newly opened."""
        return LonelyCat.open(self.root)

    def judge(self, changes: Sequence[FileChange], by: str = "agent:coder", **fields: Any) -> Proposed:
        """Plan ``changes`` and have them judged."""
        plan, changeset = Planner.from_workspace(self.root).plan(
            intent="change the workspace", created_by=by, changes=changes, **fields
        )
        return Proposed(plan, changeset, WriteGate.from_workspace(self.root).evaluate(plan, changeset))

    def keep(self, changes: Sequence[FileChange], by: str = "agent:coder") -> Proposed:
        """Propose ``changes`` and keep them, so that a command can execute them."""
        plan, changeset = Planner.from_workspace(self.root).plan(
            intent="change the workspace", created_by=by, changes=changes
        )
        judgement = self.cat().keep(plan, changeset)
        return Proposed(plan, changeset, judgement.decision)

    def execute(
        self,
        proposed: Proposed,
        approvals: Sequence[GovernanceApproval] = (),
        *,
        changeset: ChangeSet | None = None,
        decision: GovernanceDecision | None = None,
        **options: Any,
    ) -> ExecutionResult:
        """Execute with the library's executor, with another change set or decision where one is given."""
        executor = Executor(self.root, **options)
        return executor.execute(
            proposed.plan, changeset or proposed.changeset, decision or proposed.decision, approvals
        )

    def execute_wired(
        self,
        proposed: Proposed,
        approvals: Sequence[GovernanceApproval] = (),
        *,
        options: Options | None = None,
        **parts: Any,
    ) -> ExecutionResult:
        """Execute with an injected clock or file system."""
        wiring = Wiring(Settings.for_workspace(self.root), **parts)
        request = Request(proposed.plan, proposed.changeset, proposed.decision, tuple(approvals))
        return Pipeline(wiring, options or Options()).run(request)

    def gate_key(self) -> Ed25519Signer:
        """Return the workspace's own gate key, as a thief would."""
        return load_private_key(self.root / ".lonelycat" / "keys" / "gate.pem")

    def forged_allow(self, proposed: Proposed, signer: Ed25519Signer | None) -> GovernanceDecision:
        """Return a decision that says ALLOW and is right in everything but that the gate did not make it."""
        loaded = Wiring(Settings.for_workspace(self.root)).policy().loaded
        forged = proposed.decision.model_copy(
            update={
                "verdict": Verdict.ALLOW,
                "reasons": (),
                "violated_policies": (),
                "required_actions": (),
                "approvals_required": 0,
                "policy_snapshot_hash": loaded.sha256,
                "context_digest": context_digest(proposed.plan, proposed.changeset, loaded.policy, loaded.sha256),
                "signature": "",
            }
        )
        if signer is None:
            return forged
        return forged.model_copy(update={"signature": signer.sign(forged.signed_payload())})

    # -- the command line ----------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        """Return the command line in a process of its own."""
        return [sys.executable, "-m", "lonelycat", "-C", str(self.root), "--json", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command; the caller waits for it."""
        return subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *arguments: str) -> Answer:
        """Run a command to its end."""
        return self.answer(self.start(*arguments))

    @staticmethod
    def answer(process: subprocess.Popen[bytes]) -> Answer:
        """Wait for a command and return what it said."""
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert b"Traceback" not in err, err.decode()
        return Answer(process.returncode, json.loads(out) if out else {})

    def at_the_lock(self, process: subprocess.Popen[bytes]) -> bool:
        """Tell whether the process has the directory open that is locked: it executes, or waits to."""
        descriptors = Path("/proc") / str(process.pid) / "fd"
        try:
            return any(os.path.realpath(item) == str(self.root) for item in descriptors.iterdir())
        except OSError:
            return False


def _without_placeholders(code: str) -> str:
    assert "{" not in code, "braces are placeholders in a policy's commands"
    return code
