"""Wires everything from Settings; each part is made when first asked for.

The only chooser of implementations, but for the operating system's calls: ``lonelycat.platforms`` chooses those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lonelycat.clock import Clock, IdSource, RandomIds, SystemClock, isoformat
from lonelycat.errors import InputError, StateError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.governance.writegate import WriteGate
from lonelycat.planner.planner import Planner
from lonelycat.records.blobs import BlobStore
from lonelycat.records.keys import load_gate_key, load_or_create_gate_key, prepare_state_directory
from lonelycat.records.layout import CREATED_MARK, DATABASE_NAME, FAILED_CHANGES, GATE_KEY
from lonelycat.runtime.contents import WorkspaceContents
from lonelycat.runtime.policy_source import PolicyInForce, adopt_policy, policy_in_force
from lonelycat.settings import STATE_DIRECTORY, Settings

if TYPE_CHECKING:
    from lonelycat.changes.changeset import ChangeSet
    from lonelycat.changes.plan import ChangePlan
    from lonelycat.governance.failed_changes import FailedChange
    from lonelycat.records.store import Records


class Wiring:
    """The parts of one workspace, for one command or one library object.

    Args:
        settings: what the process was told.
        clock, ids, filesystem: injected in tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        filesystem: FileSystem | None = None,
    ) -> None:
        if not _is_directory(settings.workspace):
            raise InputError(
                "WORKSPACE_MISSING", f"{settings.workspace} is not a directory", "Name the workspace with -C."
            )
        if not (settings.workspace / STATE_DIRECTORY).exists():
            from lonelycat.runtime.placing import check_place

            check_place(settings.workspace)
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.ids: IdSource = ids or RandomIds(self.clock)
        self.filesystem = filesystem or FileSystem()

    @cached_property
    def signer(self) -> Ed25519Signer:
        """The gate's key, made when the workspace has none."""
        prepare_state_directory(self.settings.state_dir)
        return load_or_create_gate_key(self.settings.state_dir)

    @cached_property
    def passing_signer(self) -> Ed25519Signer:
        """The gate's key if there is one, else one for this process only: for judgements that store nothing."""
        path = self.settings.state_dir / GATE_KEY
        return load_gate_key(self.settings.state_dir) if path.exists() else Ed25519Signer.generate()

    @cached_property
    def records(self) -> Records:
        """History, idempotency, approvals and audit; importing the database library takes its time."""
        from lonelycat.records.store import Records

        return Records.open(self.settings, self.clock, self.ids)

    @property
    def has_records(self) -> bool:
        """Whether anything may be recorded already, so that opening :attr:`records` makes nothing new.

        A database that is gone counts: opening it says so.
        """
        state = self.settings.state_dir
        known = any((state / name).exists() for name in (DATABASE_NAME, CREATED_MARK))
        return known or self.settings.database_url is not None

    def recorded_fence(self) -> int:
        """The highest fence that anything was recorded under; 0 where there are no records to ask."""
        try:
            return self.records.fence()
        except (StateError, OSError):
            return 0

    def records_to_read(self) -> Records | None:
        """The records for looking alone: nothing is made or changed; None where there are none yet."""
        from lonelycat.records.store import Records

        return Records.open_to_read(self.settings, self.clock, self.ids)

    @cached_property
    def blobs(self) -> BlobStore:
        """The content-addressed store."""
        return BlobStore(self.settings.state_dir / "blobs")

    def policy(self) -> PolicyInForce:
        """The policy as it is now; read again at every call.

        Raises:
            PolicyError: it cannot be loaded.
        """
        path = self.settings.state_dir / GATE_KEY
        return policy_in_force(self.settings, self.passing_signer.public_key if path.exists() else None)

    def adopt_policy(self, sha256: str, *, by: str) -> None:
        """Remember the policy that a person, or the first use, stands behind, and say so in the audit log."""
        from lonelycat.records.entries import AuditEvent, AuditType

        adopt_policy(self.settings, sha256, by, isoformat(self.clock.now()), self.signer)
        self.records.audit(AuditEvent(AuditType.POLICY_CHANGED, by, {"sha256": sha256}))

    @contextmanager
    def scratch_blobs(self, *, needed: bool) -> Iterator[BlobStore]:
        """Yield a store for contents that nothing is to be kept of; the workspace's own where none is ``needed``."""
        if not needed:
            yield self.blobs
            return
        import tempfile

        from lonelycat.records.spool import Spool

        with tempfile.TemporaryDirectory(prefix="lonelycat-check-") as scratch:
            directory = Path(scratch) / "blobs"
            with Spool(directory) as spool:
                yield BlobStore(directory, spool=spool)

    @contextmanager
    def spooling_blobs(self) -> Iterator[BlobStore]:
        """Yield the workspace's store with a spool, for small contents that are not stored before they are judged."""
        from lonelycat.records.spool import Spool

        with Spool(self.records.blobs.directory) as spool:
            yield self.records.blobs.with_spool(spool)

    def failed_change(self, plan: ChangePlan, changeset: ChangeSet) -> FailedChange | None:
        """Return that the same change failed before and is in quarantine; None also for what takes a kept change back.

        Raises:
            StateError: the records cannot be asked.
        """
        if not (self.settings.state_dir / FAILED_CHANGES).is_dir():
            return None
        from lonelycat.records.failed_marks import FailedMarks

        if not FailedMarks(self.settings.state_dir).has(getattr(changeset, "checksum", None)):
            return None
        from lonelycat.runtime.inverses import is_revert

        kept = self.records.failed_change(changeset.checksum)
        return None if kept is None or is_revert(self.records, plan, changeset) else kept.failed

    def contents(self, policy: PolicyInForce, blobs: BlobStore | None = None) -> WorkspaceContents:
        """Return the reader of contents for a judgement under ``policy``."""
        return WorkspaceContents(self.settings, blobs or self.blobs, policy.loaded.policy.content.max_scan_bytes)

    def gate(self, policy: PolicyInForce, *, stored: bool = True, blobs: BlobStore | None = None) -> WriteGate:
        """Return the gate under ``policy``; with ``stored`` False its signatures are good for looking at only."""
        return WriteGate(
            policy.loaded.policy,
            policy.loaded.sha256,
            clock=self.clock,
            ids=self.ids,
            signer=self.signer if stored else self.passing_signer,
            contents=self.contents(policy, blobs),
            policy_paths=self.settings.policy_names,
            policy_trusted=policy.trusted,
            known_pins=policy.loaded.pins,
            failed=self.failed_change,
        )

    def planner(self, policy: PolicyInForce, blobs: BlobStore | None = None) -> Planner:
        """Return the planner under ``policy``."""
        return Planner(
            policy.loaded.policy,
            clock=self.clock,
            ids=self.ids,
            contents=self.contents(policy, blobs),
            known_pins=policy.loaded.pins,
        )


def _is_directory(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError as error:
        from lonelycat.runtime.steps import as_machine_error

        raise as_machine_error(error) or error from error
