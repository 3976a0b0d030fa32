"""A database of the first schema, with a history in it, is brought to the present one and loses nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy

from lonelycat.governance.failed_changes import FailedChange
from lonelycat.lifecycle import Status
from lonelycat.records.entries import PendingRestart
from lonelycat.records.migrations import upgrade
from lonelycat.records.tables import HEAD


def _as_first_written(case: Any) -> None:
    """Make of the database what version 0001 had: its tables, without what came later."""
    with closing(sqlite3.connect(case.path)) as db:
        db.execute("DROP TABLE standing")
        db.execute("DROP TABLE changeset_parts")
        db.execute("UPDATE alembic_version SET version_num = '0001'")
        db.commit()


def test_an_old_database_is_upgraded_and_everything_in_it_is_still_intact(case: Any) -> None:
    result = case.executed()
    _as_first_written(case)
    records = case.reopened()
    row = records.execution(result.execution_id)
    assert row is not None and (row.result, row.intact) == (result, True)
    assert records.audit_verify().ok
    assert records.failed_changes() == [] and records.pending_restarts() == []
    assert case.sql("SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_what_is_new_works_in_an_upgraded_database(case: Any) -> None:
    case.executed()
    _as_first_written(case)
    case.records = case.reopened()
    plan, changeset, decision = case.stored(content=b"other")
    failed = FailedChange(changeset.checksum, "exec_9", plan.id, "VERIFY_FAILED", "no")
    due = PendingRestart("web", "exec_9", "stuck")
    result = case.result(plan, changeset, Status.ROLLBACK_FAILED).model_copy(update={"execution_id": "exec_9"})
    case.finish(plan, result, decision, failed=failed, pending_restarts=[due])
    again = case.reopened()
    assert again.failed_change(changeset.checksum).failed == failed
    assert again.pending_restarts() == [due]
    assert again.audit_verify().ok


def test_a_history_row_of_an_older_version_has_no_digests_and_is_intact(case: Any) -> None:
    """The fields that came with a later version are not in the sealed document of an earlier one."""
    import json

    from lonelycat.changes.digest import canonical_json
    from lonelycat.records import history
    from lonelycat.records.seal import digest_of, seal

    result = case.executed()
    ((document, decision_id),) = case.sql("SELECT document, decision_id FROM executions")
    body = json.loads(document)
    del body["pre_image"], body["rollback_image"]
    old = canonical_json(body).decode()
    row = case.records.execution(result.execution_id)
    steps = [
        {**{name: step[name] for name in history._STEP_FIELDS}, "number": step["index"]}
        for step in history._body(row.result)["steps"]
    ]
    parts = [old, *(canonical_json(part).decode() for part in (steps, ["a.txt", "b/ü.txt"], []))]
    digest = digest_of(result.plan_id, decision_id, result.checksum, *parts)
    sealed = seal(case.records.signer, history.TABLE, result.execution_id, digest)
    case.sql("UPDATE executions SET document = ?, digest = ?, seal = ?", old, digest, sealed)
    read = case.reopened().execution(result.execution_id)
    assert read.intact and read.result == result


def test_each_migration_alone_leads_to_the_next(case: Any) -> None:
    case.executed()
    _as_first_written(case)
    engine = sqlalchemy.create_engine(f"sqlite:///{case.path}", poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        upgrade(connection, "0001", case.path)
    assert case.sql("SELECT count(*) FROM standing") == [(0,)]


def test_a_half_done_upgrade_leaves_the_old_database(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    case.executed()
    _as_first_written(case)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_table", fail)
        with pytest.raises(RuntimeError):
            case.reopened().audit_head()
    assert case.sql("SELECT version_num FROM alembic_version") == [("0001",)]
    assert case.reopened().audit_verify().ok
