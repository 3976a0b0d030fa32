"""What every part of Records stands on: the database, the key, the clock, and the audit log in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lonelycat.clock import Clock, IdSource, isoformat
from lonelycat.errors import RefusedError
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.records import audit as log
from lonelycat.records.blobs import BlobStore
from lonelycat.records.database import Database
from lonelycat.records.entries import AuditEvent, AuditHead, AuditType
from lonelycat.settings import Settings

SELF = "lonelycat"
_TAMPERED = ("STORED_CHANGESET_TAMPERED", "IDEMPOTENCY_TAMPERED")


def is_storable(identifier: str) -> bool:
    """Tell whether the database can hold ``identifier`` at all; what is no Unicode text it surely does not hold."""
    return not any("\ud800" <= char <= "\udfff" for char in identifier)


class Foundation:
    """Database, signer, clock and blobs of one workspace.

    Attributes:
        limits: the hard limits.
        signer: the workspace's gate key.
        blobs: the content-addressed store.
    """

    def __init__(
        self, settings: Settings, clock: Clock, ids: IdSource, signer: Ed25519Signer, *, read_only: bool = False
    ) -> None:
        self._clock = clock
        self._ids = ids
        self.signer = signer
        self.database = Database(settings.state_dir, settings.database_url, read_only=read_only)
        self.executions_dir = settings.state_dir / "executions"
        self.limits = settings.limits
        self.blobs = BlobStore(settings.state_dir / "blobs", fsync=True, chunk_bytes=settings.limits.chunk_bytes)

    def audit(self, event: AuditEvent) -> AuditHead:
        """Append one event to the audit log."""
        with self.database.write() as connection:
            return log.append(connection, self.signer, self._now(), [(event, {})])

    def _now(self) -> str:
        return isoformat(self._clock.now())

    @contextmanager
    def _recording_tampering(self, plan_id: str) -> Iterator[None]:
        try:
            yield
        except RefusedError as error:
            if error.code in _TAMPERED:
                facts = {"plan_id": plan_id, "code": error.code, "message": error.message}
                self.audit(AuditEvent(AuditType.SECURITY_TAMPERED, SELF, facts))
            raise
