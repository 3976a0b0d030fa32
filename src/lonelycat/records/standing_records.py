"""The side of Records that keeps what stands: failed changes, pending restarts, confirmations that are awaited.

Invariant: a confirmation is answered once. Answering and closing are write transactions of their own, so that an answer
that was accepted is seen by the process that waits, or refused because the wait is over; there is no third case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from lonelycat.clock import isoformat
from lonelycat.errors import InputError, RefusedError
from lonelycat.governance.confirmations import GovernanceConfirmation
from lonelycat.governance.failed_changes import FailedChange
from lonelycat.records import audit as log
from lonelycat.records import standing
from lonelycat.records.entries import AuditEvent, AuditType, AwaitedConfirmation, PendingRestart, QuarantinedChange
from lonelycat.records.failed_marks import FailedMarks
from lonelycat.records.foundation import SELF, Foundation, is_storable
from lonelycat.records.redaction import redact_text
from lonelycat.records.standing import Standing

Event = tuple[AuditEvent, dict[str, object]]
"""An audit event with the facts of Records' own."""


class StandingRecords(Foundation):
    """What stands until somebody lifts it."""

    @property
    def failed_marks(self) -> FailedMarks:
        """The marks by which a judgement without a database knows whether to ask it."""
        return FailedMarks(self.executions_dir.parent)

    # -- failed changes ------------------------------------------------------------------------------------------

    def failed_change(self, checksum: str) -> QuarantinedChange | None:
        """Return the failed change with this digest, or None when it is not in quarantine.

        Raises:
            StateError: ``STANDING_TAMPERED``.
        """
        if not is_storable(checksum):
            return None
        with self.database.read() as connection:
            body = standing.get(connection, self.signer.public_key, Standing.FAILED_CHANGE, checksum)
        return None if body is None else _quarantined(body)

    def failed_changes(self) -> list[QuarantinedChange]:
        """Return every failed change in quarantine, in order of digest."""
        with self.database.read() as connection:
            found = standing.every(connection, self.signer.public_key, Standing.FAILED_CHANGE)
        return [_quarantined(body) for body in found.values()]

    def release_failed_change(self, checksum: str, by: str, reason: str, **facts: object) -> None:
        """Lift the quarantine of a digest, with the reason that a person gives.

        Raises:
            InputError: ``NOT_QUARANTINED``.
        """
        with self.database.write() as connection:
            gone = standing.remove(connection, Standing.FAILED_CHANGE, checksum)
            if gone is None:
                raise InputError(
                    "NOT_QUARANTINED", f"no failed change {checksum[:80]} is in quarantine", "See `doctor`."
                )
            payload = {"checksum": checksum, "reason": redact_text(reason), **facts}
            event = AuditEvent(AuditType.DIGEST_RELEASED, by, payload)
            log.append(connection, self.signer, self._now(), [(event, gone)])
        self.failed_marks.remove(checksum)

    def _quarantine(self, connection: Connection, failed: FailedChange, proposed_by: str) -> list[Event]:
        body = {**failed._asdict(), "message": redact_text(failed.message), "proposed_by": proposed_by}
        facts = standing.put(
            connection, self.signer, Standing.FAILED_CHANGE, failed.checksum, {**body, "failed_at": self._now()}
        )
        return [(AuditEvent(AuditType.DIGEST_QUARANTINED, SELF, body), facts)]

    def _release_completed(self, connection: Connection, checksum: str, execution_id: str) -> list[Event]:
        gone = standing.remove(connection, Standing.FAILED_CHANGE, checksum)
        if gone is None:
            return []
        payload = {"checksum": checksum, "reason": f"it was made and kept in {execution_id}"}
        return [(AuditEvent(AuditType.DIGEST_RELEASED, SELF, payload), gone)]

    # -- pending restarts ----------------------------------------------------------------------------------------

    def pending_restarts(self) -> list[PendingRestart]:
        """Return the restarts that are due, in order of service."""
        with self.database.read() as connection:
            found = standing.every(connection, self.signer.public_key, Standing.PENDING_RESTART)
        return [PendingRestart(service, body["execution_id"], body["problem"]) for service, body in found.items()]

    def note_pending_restarts(self, restarts: Sequence[PendingRestart]) -> None:
        """Keep that services have to be restarted before anything may count as a success again."""
        if restarts:
            with self.database.write() as connection:
                log.append(connection, self.signer, self._now(), self._pending(connection, restarts))

    def restart_done(self, service: str, *, by: str = SELF, reason: str = "") -> None:
        """Note that a restart that was due is done, or (with a ``reason``) that a person wrote it off."""
        with self.database.write() as connection:
            gone = standing.remove(connection, Standing.PENDING_RESTART, service)
            if gone is not None:
                payload = {"service": service, "reason": redact_text(reason)}
                log.append(
                    connection, self.signer, self._now(), [(AuditEvent(AuditType.RESTART_DONE, by, payload), gone)]
                )

    def _pending(self, connection: Connection, restarts: Sequence[PendingRestart]) -> list[Event]:
        events: list[Event] = []
        for restart in restarts:
            body = {"execution_id": restart.execution_id, "problem": redact_text(restart.problem)}
            facts = standing.put(connection, self.signer, Standing.PENDING_RESTART, restart.service, body)
            payload = {"service": restart.service, **body}
            events.append((AuditEvent(AuditType.RESTART_PENDING, SELF, payload), facts))
        return events

    # -- confirmations -------------------------------------------------------------------------------------------

    def await_confirmation(self, awaited: AwaitedConfirmation) -> None:
        """Ask for a person's word on an execution whose change is in place."""
        with self.database.write() as connection:
            body = _body(awaited)
            facts = standing.put(connection, self.signer, Standing.CONFIRMATION, awaited.execution_id, body)
            event = AuditEvent(AuditType.CONFIRMATION_AWAITED, SELF, {**body, "execution_id": awaited.execution_id})
            log.append(connection, self.signer, self._now(), [(event, facts)])

    def awaited_confirmation(self, execution_id: str) -> AwaitedConfirmation | None:
        """Return what is asked of ``execution_id``, with the answer if there is one, or None.

        Raises:
            StateError: ``STANDING_TAMPERED``.
        """
        if not is_storable(execution_id):
            return None
        with self.database.read() as connection:
            body = standing.get(connection, self.signer.public_key, Standing.CONFIRMATION, execution_id)
        return None if body is None else _awaited(execution_id, body)

    def awaited_confirmations(self) -> list[AwaitedConfirmation]:
        """Return every confirmation that is asked for."""
        with self.database.read() as connection:
            found = standing.every(connection, self.signer.public_key, Standing.CONFIRMATION)
        return [_awaited(key, body) for key, body in found.items()]

    def answer_confirmation(self, said: GovernanceConfirmation) -> None:
        """Keep what a person said; whether it counts, the caller has asked.

        Raises:
            RefusedError: ``CONFIRMATION_GIVEN`` when something was said before; ``CONFIRMATION_ENDED``.
        """
        key = said.execution_id
        with self.database.write() as connection:
            body = standing.get(connection, self.signer.public_key, Standing.CONFIRMATION, key)
            if body is None:
                raise RefusedError("CONFIRMATION_ENDED", f"{key} no longer waits for a confirmation", "See `show`.")
            awaited = _awaited(key, body)
            if awaited.answer is not None:
                raise RefusedError(
                    "CONFIRMATION_GIVEN",
                    f"{awaited.answer.given_by} already said {_word(awaited.answer)} of {key}; it holds once",
                    f"`lonelycat show {key}` tells how it ended.",
                )
            facts = standing.put(
                connection, self.signer, Standing.CONFIRMATION, key, _body(replace(awaited, answer=said))
            )
            payload = {**said.model_dump(mode="json", exclude={"signature"}), "said": _word(said)}
            event = AuditEvent(AuditType.CONFIRMATION_GIVEN, said.given_by, payload)
            log.append(connection, self.signer, self._now(), [(event, facts)])

    def close_confirmation(self, execution_id: str) -> GovernanceConfirmation | None:
        """End the wait: nothing that is said from now on counts. Returns what was said until then."""
        with self.database.write() as connection:
            body = standing.get(connection, self.signer.public_key, Standing.CONFIRMATION, execution_id)
            said = None if body is None else _awaited(execution_id, body).answer
            log.append(connection, self.signer, self._now(), self._confirmation_ended(connection, execution_id))
        return said

    def _confirmation_ended(self, connection: Connection, execution_id: str) -> list[Event]:
        gone = standing.remove(connection, Standing.CONFIRMATION, execution_id)
        event = AuditEvent(AuditType.CONFIRMATION_ENDED, SELF, {"execution_id": execution_id})
        return [] if gone is None else [(event, gone)]


def _word(said: GovernanceConfirmation) -> str:
    return "keep" if said.keep else "take back"


def _quarantined(body: dict[str, Any]) -> QuarantinedChange:
    fields = {name: str(body[name]) for name in FailedChange._fields}
    return QuarantinedChange(
        FailedChange(**fields), str(body["proposed_by"]), datetime.fromisoformat(body["failed_at"])
    )


def _body(awaited: AwaitedConfirmation) -> dict[str, Any]:
    return {
        "plan_id": awaited.plan_id,
        "decision_digest": awaited.decision_digest,
        "proposed_by": awaited.proposed_by,
        "intent": redact_text(awaited.intent),
        "asked_at": isoformat(awaited.asked_at),
        "deadline": isoformat(awaited.deadline),
        "answer": None if awaited.answer is None else awaited.answer.model_dump(mode="json"),
    }


def _awaited(execution_id: str, body: dict[str, Any]) -> AwaitedConfirmation:
    return AwaitedConfirmation(
        execution_id=execution_id,
        plan_id=body["plan_id"],
        decision_digest=body["decision_digest"],
        proposed_by=body["proposed_by"],
        intent=body["intent"],
        asked_at=datetime.fromisoformat(body["asked_at"]),
        deadline=datetime.fromisoformat(body["deadline"]),
        answer=None if body["answer"] is None else GovernanceConfirmation.model_validate(body["answer"]),
    )
