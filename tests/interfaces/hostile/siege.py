"""A workspace under attack, the real command line before it, and a record of everything around them.

Invariant: what is compared before and after is everything below the test's own directory but LonelyCat's state: the
workspace with ``.git``, and the directory beside it in which a file written through an escape would show.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from lonelycat.interfaces.cli import main

POLICY_PATH = "agent/policies/default.yaml"
BY = ("--by", "agent:coder", "--intent", "change the workspace")
Tree = dict[str, tuple[object, ...]]


@dataclass(frozen=True)
class Answer:
    """What one call came to: exit code, the JSON object, what went to standard error."""

    exit: int
    facts: dict[str, Any]
    err: str

    @property
    def code(self) -> str | None:
        """The stable code of a refusal or failure."""
        code = self.facts["code"]
        assert code is None or isinstance(code, str)
        return code

    @property
    def codes(self) -> set[str]:
        """The code, and those of the gate's reasons that count."""
        reasons = [item["code"] for item in self.facts.get("reasons", []) if item["mode"] == "enforce"]
        return {code for code in (self.code, *reasons) if code}


class Siege:
    """One workspace, a place outside it, and the command line."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "workspace"
        self.outside = base / "outside"
        self.notes = base / "notes"
        self._plans = 0
        for directory in (self.root, self.outside, self.notes):
            directory.mkdir()
        (self.outside / "canary").write_text("alive\n")
        self.policy: dict[str, Any] = {
            "version": 1,
            "name": "hostile",
            "executor": {
                "allowed_paths": ["**"],
                "forbidden_paths": [".env", "*.pem"],
                "require_health_checks_for_risk": [],
                "constraints": {"max_execution_time": 100, "max_step_time": 60},
            },
            "content": {"invisible_text": "allow", "symlinks": "allow", "binary": "allow", "executable_bit": "allow"},
            "verification": {"look": {"argv": self.argv("pass")}},
        }

    # -- the ground ----------------------------------------------------------------------------------------------

    def argv(self, code: str) -> list[str]:
        """Return a command that runs ``code`` in a bare interpreter in the workspace; ``notes`` is a directory."""
        head = f"import os, pathlib, sys, time; notes = pathlib.Path({str(self.notes)!r})\n"
        assert "{" not in code, "braces are placeholders in a policy's commands"
        return ["{python}", "-I", "-S", "-c", head + code]

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write ``files`` below the workspace."""
        for path, content in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def begin(self, files: Mapping[str, bytes] | None = None) -> Siege:
        """Write the policy and ``files`` and make it a repository."""
        self.write(files or {"app/settings.txt": b"old\n", "readme.md": b"one\ntwo\nthree\n"})
        self.write_policy()
        for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "base")):
            self.git(*arguments)
        return self

    def write_policy(self) -> None:
        """Write the policy as it is now; JSON is YAML. The checks note what they saw outside, so without a sandbox."""
        self.policy["executor"].setdefault("verification", {"unsandboxed": "allow"})
        for profile in self.policy.get("verification", {}).values():
            profile.setdefault("sandbox", {"enabled": False})
        self.write({POLICY_PATH: json.dumps(self.policy, indent=1).encode()})

    def git(self, *arguments: str) -> None:
        """Run git in the workspace, under nobody's configuration."""
        identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
        subprocess.run(["git", *identity, *arguments], cwd=self.root, env=self.environment(), check=True)

    def environment(self) -> dict[str, str]:
        """Return an environment in which nothing of the user's configuration counts."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
        coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        git = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        return {**kept, **coverage, **git, "HOME": str(self.base)}

    # -- looking -------------------------------------------------------------------------------------------------

    def tree(self) -> Tree:
        """Return everything of the workspace and beside it, with what shows that a path was touched."""
        found: Tree = {}
        for top in (self.root, self.outside):
            for path in (top, *sorted(top.rglob("*"))):
                if ".lonelycat" not in path.parts:
                    found[str(path.relative_to(self.base))] = _look(path, exact=path != self.root)
        return found

    def contents(self) -> Tree:
        """Return kinds, modes and contents, without the inodes and times that an undo does not bring back."""
        return {name: facts[:3] for name, facts in self.tree().items()}

    def leftovers(self) -> list[str]:
        """Return what is left in ``.lonelycat/tx``."""
        directory = self.root / ".lonelycat" / "tx"
        return sorted(os.listdir(directory)) if directory.is_dir() else []

    # -- the command line ----------------------------------------------------------------------------------------

    def cli(self, *arguments: str | Path, stdin: bytes = b"") -> Answer:
        """Run a command with ``--json`` within this process: ten times as fast as one of its own."""
        with pytest.MonkeyPatch.context() as patch:
            streams = {name: io.TextIOWrapper(io.BytesIO(), "utf-8") for name in ("stdout", "stderr")}
            streams["stdin"] = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
            for name, value in self.environment().items():
                patch.setenv(name, value)
            patch.chdir(self.base)
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            exit = main(["-C", str(self.root), "--json", *map(str, arguments)])
            for stream in streams.values():
                stream.flush()
            out, err = (streams[name].buffer for name in ("stdout", "stderr"))
            assert isinstance(out, io.BytesIO)
            assert isinstance(err, io.BytesIO)
            return answered(exit, out.getvalue(), err.getvalue())

    def start(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command in a process of its own; :meth:`finish` waits for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "lonelycat", "-C", str(self.root), "--json", *map(str, arguments)],
            cwd=self.base,
            env={**self.environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @staticmethod
    def finish(process: subprocess.Popen[bytes]) -> Answer:
        """Wait for a command and return what it said."""
        out, err = process.communicate(timeout=90)
        return answered(process.returncode, out, err)

    def process(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Answer:
        """Run a command in a process of its own to its end."""
        return self.finish(self.start(*arguments, env=env))

    def file(self, name: str, data: bytes | object) -> Path:
        """Write an input document outside the workspace; anything but bytes as JSON."""
        path = self.base / name
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return path

    def documents(self, changeset: dict[str, object], given: dict[str, object] | None = None) -> tuple[str | Path, ...]:
        """Return the options for a complete change set and its plan, under an id of their own."""
        self._plans += 1
        name = f"plan_hostile{self._plans}"
        change = self.file("cs.json", {**changeset, "plan_id": name})
        return "--changeset", change, "--plan", self.file("plan.json", {**plan(), **(given or {}), "id": name})

    def propose(self, *changes: dict[str, object]) -> str:
        """Propose a draft that must be allowed, and return the plan's id."""
        done = self.cli("propose", "--changeset", "-", *BY, stdin=json.dumps({"changes": changes}).encode())
        assert done.exit == 0, done
        return str(done.facts["plan_id"])

    @staticmethod
    def refused(done: Answer, codes: str | set[str], exits: set[int], *places: str) -> None:
        """Assert a typed refusal that names the place and says what to do."""
        wanted = {codes} if isinstance(codes, str) else codes
        assert done.codes & wanted, done
        assert done.exit in exits, done
        assert done.facts["hint"], done
        told = json.dumps([done.facts["message"], done.facts.get("reasons"), done.facts.get("details")])
        for place in places:
            assert json.dumps(place)[1:-1] in told, (place, done)


def answered(exit: int, out: bytes, err: bytes) -> Answer:
    """Hold what a command wrote against the contract: one JSON object, no traceback, codes that agree."""
    text = err.decode("utf-8", "backslashreplace")
    assert "Traceback" not in text, text
    assert b"Traceback" not in out, out
    lines = out.decode("ascii").splitlines()
    assert len(lines) == 1, (out, text)
    facts = json.loads(lines[0])
    assert set(facts) >= {"ok", "code", "message", "hint", "exit_code"}
    assert (facts["ok"], facts["code"] is None, facts["exit_code"]) == (exit == 0, exit == 0, exit), facts
    assert facts["code"] != "INTERNAL_ERROR", facts
    assert facts["message"] or exit == 0, facts
    return Answer(exit, facts, text)


def ended(processes: list[subprocess.Popen[bytes]]) -> None:
    """End what a failed test left running."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def _look(path: Path, *, exact: bool) -> tuple[object, ...]:
    found = path.lstat()
    mode = stat.S_IMODE(found.st_mode)
    touched = (found.st_ino, found.st_mtime_ns) if exact else ()
    if stat.S_ISLNK(found.st_mode):
        return ("link", 0, os.readlink(os.fsencode(path)), *touched)
    if stat.S_ISREG(found.st_mode):
        return ("file", mode, hashlib.sha256(path.read_bytes()).hexdigest(), *touched)
    if stat.S_ISDIR(found.st_mode):
        return ("directory", mode, "", *touched)
    return (stat.S_IFMT(found.st_mode), mode, found.st_rdev, *touched)


# -- documents, made by hand and not by the models that are to refuse them ----------------------------------------


def sha(data: bytes) -> str:
    """Return the SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def created(path: str, data: bytes = b"evil\n", mode: str = "100644") -> dict[str, object]:
    """Return the JSON of a complete creation."""
    return {
        "operation": "create",
        "path": path,
        "old_path": None,
        "old_hash": None,
        "new_hash": sha(data),
        "old_mode": None,
        "new_mode": mode,
        "content": {"text": data.decode()},
    }


def updated(path: str, old: bytes, new: bytes = b"evil\n", mode: str = "100644") -> dict[str, object]:
    """Return the JSON of a complete update."""
    return {**created(path, new, mode), "operation": "update", "old_hash": sha(old), "old_mode": mode}


def draft(operation: str, path: str, **more: object) -> dict[str, object]:
    """Return the JSON of one change of a draft."""
    content = {} if operation in ("delete", "rename") else {"content": {"text": "evil\n"}}
    return {"operation": operation, "path": path, **content, **more}


def whole(*changes: dict[str, object], **more: object) -> dict[str, object]:
    """Return the JSON of a complete change set with its true checksum, whatever its changes are."""
    canonical = [{key: value for key, value in change.items() if key != "content"} for change in changes]
    return {
        "id": "cs_hostile",
        "plan_id": "plan_hostile",
        "changes": list(changes),
        "checksum": sha(rfc8785.dumps(canonical)),  # type: ignore[arg-type]  # JSON by construction
        "generated_by": "agent:coder",
        "generated_at": "2026-01-01T00:00:00.000000Z",
        **more,
    }


def plan(**more: object) -> dict[str, object]:
    """Return the JSON of a plan that goes with :func:`whole`."""
    return {
        "id": "plan_hostile",
        "intent": "change the workspace",
        "created_by": "agent:coder",
        "created_at": "2026-01-01T00:00:00.000000Z",
        "verification_plan": ["look"],
        **more,
    }


def patch(path: str, text: str = "evil\n") -> bytes:
    """Return a patch that creates ``path`` with one line, its name quoted as git quotes it."""
    raw = path.encode("utf-8", "surrogateescape")
    quoted = any(byte < 0x20 or byte in b'"\\' or byte > 0x7E for byte in raw)

    def name(side: bytes) -> bytes:
        if not quoted:
            return side + raw
        return b'"' + side + b"".join(b"\\%03o" % byte if not 0x20 <= byte <= 0x7E or byte in b'"\\' else bytes([byte])
                                      for byte in raw) + b'"'  # fmt: skip

    head = b"diff --git " + name(b"a/") + b" " + name(b"b/") + b"\nnew file mode 100644\n--- /dev/null\n+++ "
    tab = b"\t" if b" " in raw and not quoted else b""
    return head + name(b"b/") + tab + b"\n@@ -0,0 +1 @@\n+" + text.encode()
