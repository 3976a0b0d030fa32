"""How the gate judges real history: the last commits of a repository, under the policy that fits it.

Usage, from the top of this repository::

    python -m tests.conformance.gate_quality --repo PATH [--commits 300] [--policy FILE] [--json]

Each non-merge commit is read by git range, planned by the planner and judged by the WriteGate, as ``lonelycat check
--git PARENT..COMMIT`` does. Exits 1 when a target is missed, so that it can stand in a pipeline.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from lonelycat.changes.changeset import BlobRef, FileChange, Operation
from lonelycat.clock import RandomIds, SystemClock
from lonelycat.errors import LonelyCatError
from lonelycat.governance.bumps.ci_upkeep import kind_of, pins_in
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.policy_file import LoadedPolicy, load_policy
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.governance.writegate import WriteGate
from lonelycat.planner import path_kinds
from lonelycat.planner.fitting import fit_policy
from lonelycat.planner.path_kinds import PathKind
from lonelycat.planner.planner import Planner
from lonelycat.planner.survey import WorkspaceListing
from lonelycat.runtime.git import GitRepository
from lonelycat.runtime.pinning import read_pins

EVERYDAY = frozenset({PathKind.SOURCE, PathKind.TESTS, PathKind.DOCUMENTATION})
MOST_DENIED, MOST_HELD, MOST_EVERYDAY_HELD = 2.0, 30.0, 8.0
"""The targets, in per cent of the commits judged (the last: of those to source, tests and docs alone)."""
_PINS_ALONE = frozenset({"PIN_MOVED", "RISK_NEEDS_APPROVAL"})


def _why_not(argv: tuple[str, ...]) -> str | None:
    """Take a program that is found for one that runs: the commits are judged, not verified."""
    return None if shutil.which(argv[0]) else f"{argv[0]} is not on PATH"


@dataclass(frozen=True, slots=True)
class Judged:
    """One commit and what the gate said.

    Attributes:
        everyday: whether it touches source, tests and documentation alone.
        reasons: code, rule and first paths of everything that counts against it.
    """

    commit: str
    subject: str
    files: int
    everyday: bool
    verdict: str
    reasons: tuple[str, ...] = ()

    @property
    def codes(self) -> frozenset[str]:
        """The codes of the reasons."""
        return frozenset(reason.partition(" ")[0] for reason in self.reasons)


@dataclass(slots=True)
class Report:
    """What came out for one repository; all rates are in per cent.

    Attributes:
        pins_read, pins_known: how many commits of actions and hooks the history pins, and how many of them a version
            tag is known to point to.
        pins_unseen: the repositories whose tags could not be read.
        pins_shipped: those of which only what LonelyCat ships is known.
    """

    repository: str
    head: str
    policy: tuple[str, ...]
    judged: list[Judged] = field(default_factory=list)
    pins_read: int = 0
    pins_known: int = 0
    pins_unseen: tuple[str, ...] = ()
    pins_shipped: tuple[str, ...] = ()
    seconds: float = 0.0

    def rate(self, verdict: str) -> float:
        """Return how many of the commits got ``verdict``."""
        return _per_cent(sum(each.verdict == verdict for each in self.judged), len(self.judged))

    def everyday_rate(self) -> float:
        """Return how many of the commits to source, tests and docs alone were held or denied."""
        everyday = [each for each in self.judged if each.everyday]
        return _per_cent(sum(each.verdict != "ALLOW" for each in everyday), len(everyday))

    def pins_alone_rate(self) -> float:
        """Return how many were held for nothing but another commit behind a pin of CI."""
        alone = [each for each in self.judged if each.verdict == "NEED_APPROVAL" and each.codes <= _PINS_ALONE]
        return _per_cent(len(alone), len(self.judged))

    def missed(self) -> list[str]:
        """Return the targets that were missed, in words."""
        rates = (
            ("DENY", self.rate("DENY"), MOST_DENIED),
            ("NEED_APPROVAL", self.rate("NEED_APPROVAL"), MOST_HELD),
            ("source, tests and docs alone held", self.everyday_rate(), MOST_EVERYDAY_HELD),
        )
        missed = [f"{name}: {rate:.1f} % is over {most:g} %" for name, rate, most in rates if rate > most]
        return missed if self.judged else ["no commit was judged"]


class History:
    """The commits of a repository, and their parents' files as a content reader."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._git = GitRepository(root)
        self._blobs: dict[str, bytes] = {}
        self._parent = ""
        self._reader = subprocess.Popen(
            ["git", "-C", str(root), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._reader.stdin, self._reader.stdout):
            if stream is not None:
                stream.close()
        self._reader.wait()

    def head(self) -> str:
        """Return the commit that is checked out."""
        return self._git.head() or ""

    def commits(self, count: int) -> list[tuple[str, str, str]]:
        """Return id, parent's id and subject of the last ``count`` non-merge commits that have a parent."""
        log = ("log", "--no-merges", "--min-parents=1", f"-{count}", "--format=%H%x00%P%x00%s")
        output = subprocess.run(["git", "-C", str(self._root), *log], check=True, capture_output=True).stdout
        lines = output.decode("utf-8", "replace").splitlines()
        return [(parts[0], parts[1], parts[2]) for line in lines if len(parts := line.split("\0")) == 3]

    def changes(self, parent: str, commit: str) -> tuple[FileChange, ...]:
        """Return the changes of ``commit``; contents are then read against ``parent``."""
        self._blobs.clear()
        self._parent = parent
        return self._git.changes_in_range(f"{parent}..{commit}", self._put)

    def listing(self) -> WorkspaceListing:
        """Return what ``lonelycat init`` would see."""
        return WorkspaceListing(self._git.list_files(), self._read_file, _why_not)

    def old(self, change: FileChange) -> bytes | None:
        """Return the bytes before the change."""
        if change.operation is Operation.CREATE:
            return None
        data = self._object(f"{self._parent}:{change.old_path or change.path}")
        return data if data is not None and sha256(data).hexdigest() == change.old_hash else None

    def new(self, change: FileChange) -> bytes | None:
        """Return the bytes after the change."""
        if isinstance(change.content, BlobRef):
            return self._blobs.get(change.content.sha256)
        return change.content

    def _put(self, chunks: Iterator[bytes]) -> BlobRef:
        data = b"".join(chunks)
        digest = sha256(data).hexdigest()
        self._blobs[digest] = data
        return BlobRef(sha256=digest, size=len(data))

    def _read_file(self, path: str) -> bytes | None:
        try:
            return (self._root / path).read_bytes()
        except OSError:
            return None

    def _object(self, name: str) -> bytes | None:
        stdin, stdout = self._reader.stdin, self._reader.stdout
        assert stdin is not None and stdout is not None
        stdin.write(name.encode("utf-8", "surrogateescape") + b"\n")
        stdin.flush()
        header = stdout.readline().split()
        if len(header) < 2 or header[-2] != b"blob":
            return None
        data = stdout.read(int(header[-1]))
        stdout.read(1)
        return data


def judge_history(root: Path, count: int, policy_file: Path | None = None, pins: str | None = None) -> Report:
    """Judge the last ``count`` commits of the repository at ``root``.

    Args:
        policy_file: the policy to judge under; None fits one, as ``lonelycat init`` does.
        pins: where to read the tags of the actions and hooks that the commits pin, see ``see_pins``; None asks nobody:
            then those are known that LonelyCat ships, as ``lonelycat init --offline`` knows them.
    """
    started = time.monotonic()
    with History(root) as history:
        if policy_file is None:
            fitted = fit_policy(history.listing())
            loaded, summary = load_policy(fitted.text.encode(), source="fitted policy"), fitted.summary
        else:
            loaded, summary = load_policy(policy_file.read_bytes(), source=str(policy_file)), (f"from {policy_file}",)
        report = Report(str(root), history.head(), summary)
        commits = history.commits(count)
        known = _known_pins(history, commits, pins, report)
        loaded = loaded._replace(pins=known, sha256=known.bound_to(loaded.sha256))
        report.judged.extend(_judge(history, loaded, commits))
    report.seconds = time.monotonic() - started
    return report


def _known_pins(
    history: History, commits: Sequence[tuple[str, str, str]], base: str | None, report: Report
) -> KnownPins:
    """Return what is known of the tags of all that the commits pin, as of now rather than as of each commit."""
    pins = {
        pin
        for commit, parent, _ in commits
        for change in _readable_changes(history, parent, commit)
        if kind_of(change.path) is not None
        for data in (history.old(change), history.new(change))
        for pin in pins_in(change.path, data or b"")
    }
    read = read_pins(pins, {}, base=base, seconds=600)
    if read is None:
        return KnownPins()
    report.pins_read, report.pins_known = read.pinned, read.known
    report.pins_shipped, report.pins_unseen = read.shipped, tuple(sorted(read.unseen))
    return KnownPins(read.data)


def _readable_changes(history: History, parent: str, commit: str) -> tuple[FileChange, ...]:
    try:
        return history.changes(parent, commit)
    except LonelyCatError:
        return ()


def _judge(history: History, loaded: LoadedPolicy, commits: Iterable[tuple[str, str, str]]) -> Iterator[Judged]:
    clock = SystemClock()
    ids = RandomIds(clock)
    pins = loaded.pins
    planner = Planner(loaded.policy, clock=clock, ids=ids, contents=history, known_pins=pins)
    signer = Ed25519Signer.generate()
    gate = WriteGate(
        loaded.policy, loaded.sha256, clock=clock, ids=ids, signer=signer, contents=history, known_pins=pins
    )
    for commit, parent, subject in commits:
        try:
            changes = history.changes(parent, commit)
            plan, changeset = planner.plan(intent=subject[:2000] or "no subject", created_by="agent:x", changes=changes)
        except LonelyCatError as error:
            if error.code != "GIT_RANGE_EMPTY":
                yield Judged(commit, subject, 0, False, "DENY", (f"{error.code}: {error.message}",))
            continue
        decision = gate.evaluate(plan, changeset)
        reasons = tuple(
            f"{reason.code} [{reason.rule}] {reason.message}{_shown(reason.paths)}"
            for reason in decision.reasons
            if reason.counts and reason.verdict != "ALLOW"
        )
        everyday = {path_kinds.kind_of(path)[0] for change in changes for path in change.paths} <= EVERYDAY
        yield Judged(commit, subject, len(changes), everyday, decision.verdict.value, reasons)


def _shown(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    return f": {', '.join(paths[:3])}{f' and {len(paths) - 3} more' if len(paths) > 3 else ''}"


def _per_cent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def render(report: Report) -> str:
    """Return the report as text."""
    everyday = sum(each.everyday for each in report.judged)
    lines = [f"{report.repository} at {report.head[:12]}", *(f"  {line}" for line in report.policy), ""]
    for verdict in ("DENY", "NEED_APPROVAL"):
        members = [each for each in report.judged if each.verdict == verdict]
        lines.append(f"{verdict}: {len(members)}")
        for each in members:
            mark = " (source, tests and docs alone)" if each.everyday else ""
            lines.append(f"  {each.commit[:10]} {each.subject[:80]} [{each.files} files]{mark}")
            lines += [f"      {reason}" for reason in each.reasons]
    lines += [
        "",
        f"{len(report.judged)} commits in {report.seconds:.1f} s",
        f"DENY           {report.rate('DENY'):5.1f} %  (at most {MOST_DENIED:g})",
        f"NEED_APPROVAL  {report.rate('NEED_APPROVAL'):5.1f} %  (at most {MOST_HELD:g})",
        f"  held for a moved pin of CI alone {report.pins_alone_rate():5.1f} %, for anything else"
        f" {report.rate('NEED_APPROVAL') - report.pins_alone_rate():5.1f} %",
        f"  of {report.pins_read} commits that CI pins {report.pins_known} are known by a tag"
        if report.pins_read
        else "  no tags of actions and hooks are known",
        *(f"  as LonelyCat ships them: {', '.join(report.pins_shipped)}" for _ in report.pins_shipped[:1]),
        *(f"  the tags of {repository} could not be read" for repository in report.pins_unseen),
        f"source, tests and docs alone held {report.everyday_rate():5.1f} % of {everyday}"
        f"  (at most {MOST_EVERYDAY_HELD:g})",
        *(f"MISSED {line}" for line in report.missed()),
    ]
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    rates = {
        "deny": report.rate("DENY"),
        "need_approval": report.rate("NEED_APPROVAL"),
        "everyday_held": report.everyday_rate(),
        "held_for_pins_alone": report.pins_alone_rate(),
    }
    return json.dumps({**asdict(report), "rates": rates, "missed": report.missed()}, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 when all targets hold, 1 when one is missed, 2 for a bad repository."""
    parser = argparse.ArgumentParser(prog="gate_quality", description=__doc__.partition("\n")[0])
    parser.add_argument("--repo", type=Path, required=True, help="the top of a git work tree")
    parser.add_argument("--commits", type=int, default=300, help="how many of the last non-merge commits")
    parser.add_argument("--policy", type=Path, help="judge under this policy instead of a fitted one")
    parser.add_argument(
        "--pins",
        help="read the tags of what CI pins here: an https address, or a directory of mirrors; else those count that"
        " LonelyCat ships",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    try:
        report = judge_history(chosen.repo, chosen.commits, chosen.policy, chosen.pins)
    except LonelyCatError as error:
        sys.stderr.write(f"{error}\n{error.hint}\n")
        return 2
    sys.stdout.write((as_json(report) if chosen.json else render(report)) + "\n")
    return 1 if report.missed() else 0


if __name__ == "__main__":
    sys.exit(main())
