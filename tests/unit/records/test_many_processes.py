"""Records shared by threads and processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lonelycat.errors import LonelyCatError
from lonelycat.lifecycle import Status

WRITER = """
import sys
from pathlib import Path
from lonelycat.clock import RandomIds, SystemClock
from lonelycat.records.entries import AuditEvent, AuditType
from lonelycat.records.store import Records
from lonelycat.settings import Settings
records = Records.open(Settings.for_workspace(Path(sys.argv[1]), {}), SystemClock(), RandomIds())
print("ready", flush=True)
sys.stdin.readline()
count = int(sys.argv[2])
done = 0
while count == 0 or done < count:
    records.audit(AuditEvent(AuditType.POLICY_CHANGED, f"writer-{sys.argv[3]}", {"n": done}))
    done += 1
    print(done, flush=True)
"""

CONSUMER = """
import sys
from pathlib import Path
from lonelycat.changes.plan import ChangePlan
from lonelycat.clock import RandomIds, SystemClock
from lonelycat.errors import LonelyCatError
from lonelycat.records.execution import ExecutionResult
from lonelycat.records.store import Records
from lonelycat.settings import Settings
records = Records.open(Settings.for_workspace(Path(sys.argv[1]), {}), SystemClock(), RandomIds())
plan = ChangePlan.model_validate_json(Path(sys.argv[2]).read_text())
result = ExecutionResult.model_validate_json(Path(sys.argv[3]).read_text())
print("ready", flush=True)
sys.stdin.readline()
try:
    records.finish_execution(result, plan=plan, decision_id="dec_1", consumed_approvals=["appr_1"], ttl_seconds=1)
    print("done")
except LonelyCatError as error:
    print(error.code)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def release(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_the_very_first_use_by_several_processes_at_once(tmp_path: Path, make_case: Any) -> None:
    writers = [start(WRITER, tmp_path, 5, name) for name in range(3)]
    for writer in writers:
        release(writer)
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    records = make_case(tmp_path).records
    assert records.audit_head().seq == 15
    assert records.audit_verify().ok


def test_writers_killed_at_any_moment_leave_a_whole_log(case: Any) -> None:
    acknowledged = 0
    for round_ in range(3):
        writers = [start(WRITER, case.root, 0, name) for name in range(2)]
        for writer in writers:
            release(writer)
        for number, writer in enumerate(writers):
            assert writer.stdout is not None
            last = 0
            for _ in range(3 + 2 * round_ + number):
                last = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.stdout.read().split("\n")
            writer.communicate()
            # The last line may be torn; whatever was printed whole was acknowledged.
            acknowledged += max([last, *(int(line) for line in rest[:-1])])
            assert writer.returncode == -signal.SIGKILL
        report = case.records.audit_verify()
        assert report.ok
        assert acknowledged <= report.records <= acknowledged + 2 * (round_ + 1)
    assert case.records.database.damage() == ()


def test_one_approval_is_consumed_by_one_of_two_simultaneous_executions(case: Any, tmp_path: Path) -> None:
    plan, changeset, _ = case.stored()
    (tmp_path / "plan").write_text(plan.model_dump_json())
    for _ in range(2):
        processes = []
        for number in range(2):
            result = case.result(plan, changeset, fence=1)
            (tmp_path / f"result{number}").write_text(result.model_dump_json())
            processes.append(start(CONSUMER, tmp_path, tmp_path / "plan", tmp_path / f"result{number}"))
        for process in processes:
            release(process)
        said = sorted(process.communicate()[0].strip() for process in processes)
        assert said == ["APPROVAL_REUSED", "done"]
        assert case.sql("SELECT count(*) FROM consumed_approvals") == [(1,)]
        case.sql("DELETE FROM consumed_approvals")


def test_two_recoveries_of_one_execution_record_it_once(case: Any) -> None:
    plan, changeset, decision = case.stored()
    result, heads, barrier = case.result(plan, changeset), [], threading.Barrier(6)

    def replay() -> None:
        barrier.wait()
        heads.append(case.finish(plan, result, decision, "appr_1"))

    threads = [threading.Thread(target=replay) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(heads)) == 1
    assert len(heads) == 6
    assert case.sql("SELECT count(*) FROM executions") == [(1,)]
    assert case.records.audit_head() == heads[0]


def test_threads_that_decide_at_once_do_not_lose_each_other(case: Any) -> None:
    plan, _, decision = case.stored(Status.AWAITING_APPROVAL)
    approvals = [case.approval(decision, f"person{number}") for number in range(8)]
    failures: list[LonelyCatError] = []

    def give(index: int) -> None:
        try:
            case.records.add_approval(plan.id, approvals[index], Status.APPROVED)
        except LonelyCatError as error:
            failures.append(error)

    threads = [threading.Thread(target=give, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {a.id for a in case.records.proposal(plan.id).approvals} == {a.id for a in approvals}
    assert case.records.audit_verify().ok


def test_a_child_of_fork_uses_the_records_too(case: Any) -> None:
    case.executed()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            case.records.freeze("from the child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert case.records.frozen().reason == "from the child"
