"""The acceptance tests can fail: each is run against a copy of the code in which what it shows is broken.

Each text to be replaced stands exactly once in its file, so that a mutation cannot rot without being noticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import lonelycat

ROOT = Path(__file__).resolve().parents[2]
CONCURRENT = "test_concurrent_writes.py"
DUPLICATE = "test_duplicate_submission.py"
PARTIAL = "test_partial_failure.py"
TAMPERING = "test_checksum_tampering.py"
BOUNDARY = "test_path_boundary.py"
APPROVAL = "test_approval.py"
CRASH = "test_crash.py"
BEFORE = "test_health_before.py"
REHEARSAL = "test_rehearsal.py"
OLD_TESTS = "test_old_tests.py"
BACK = f"{PARTIAL}::test_failed_verification_brings_everything_back[sys.exit(3)-VERIFY_FAILED]"


class Mutation(NamedTuple):
    """One way to break the code, and the acceptance test that must see it."""

    file: str
    old: str
    new: str
    test: str


MUTATIONS = {
    # 1. concurrent writes
    "the lock is never taken": Mutation(
        "executor/execution_lock.py",
        "        fcntl.flock(fd, kind | fcntl.LOCK_NB)",
        "        pass",
        f"{CONCURRENT}::test_two_threads_take_turns",
    ),
    "nobody gets tired of waiting": Mutation(
        "executor/execution_lock.py",
        "            if remaining <= 0:",
        "            if remaining <= -3:",
        f"{CONCURRENT}::test_the_policy_says_how_long_an_executor_waits",
    ),
    "the holder is not named": Mutation(
        "executor/execution_lock.py",
        "which is held by {holder}",
        "which is held",
        f"{CONCURRENT}::test_the_policy_says_how_long_an_executor_waits",
    ),
    # 2. duplicate submission
    "no record ever answers": Mutation(
        "executor/idempotency.py",
        '        if record is None or record.status != "completed":',
        "        if True:",
        f"{DUPLICATE}::test_a_repeat_is_answered_from_the_record_and_touches_nothing",
    ),
    "a failure answers too": Mutation(
        "executor/idempotency.py",
        '        if record is None or record.status != "completed":',
        "        if record is None:",
        f"{DUPLICATE}::test_a_failed_one_may_run_again",
    ),
    "a record answers for ever": Mutation(
        "executor/idempotency.py",
        "timedelta(seconds=ttl)",
        "timedelta(days=999)",
        f"{DUPLICATE}::test_after_its_time_the_record_no_longer_answers",
    ),
    # 3. partial failure
    "nothing is undone": Mutation(
        "runtime/finishing.py",
        "                report = transaction.undo()",
        "                report = UndoReport()",
        BACK,
    ),
    "directories that were made stay": Mutation(
        "executor/rollback.py",
        "        for path in reversed(intent.made):",
        "        for path in ():",
        BACK,
    ),
    "removed directories come back without their modes": Mutation(
        "executor/rollback.py",
        "self.fs.set_mode(fd, ",
        "self.fs.set_mode(fd, 0o755 or ",
        BACK,
    ),
    "a new file takes the usual mode": Mutation(
        "executor/new_files.py",
        "    permissions = stat.S_IMODE(replaced.status.st_mode)\n",
        "    permissions = 0o644\n",
        f"{PARTIAL}::test_everything_is_kept_when_nothing_fails",
    ),
    "a failed check passes": Mutation(
        "runtime/checking.py",
        "    if not found.ok:\n        hint =",
        "    if False:\n        hint =",
        f"{PARTIAL}::test_failed_health_brings_files_and_service_back",
    ),
    "only the expected errors are rolled back": Mutation(
        "runtime/pipeline.py",
        "            except BaseException as error:  # noqa: BLE001 — whatever it was, the workspace goes back",
        "            except LonelyCatError as error:",
        f"{PARTIAL}::test_an_exception_in_any_step_brings_everything_back[verify]",
    ),
    "the service is not restarted with the old files": Mutation(
        "runtime/finishing.py",
        "            aftermath = checks.after_rollback(checks.restarts_begun, self._request.plan.health_checks)",
        "            aftermath = checks.after_rollback((), ())",
        f"{PARTIAL}::test_failed_health_brings_files_and_service_back",
    ),
    # 4. checksum tampering
    "the checksum is not checked": Mutation(
        "changes/changeset.py",
        "        if checksum_of(self.changes) != self.checksum:",
        "        if False:",
        f"{TAMPERING}::test_an_altered_change_set_is_refused_and_recorded[new mode]",
    ),
    "contents are not hashed": Mutation(
        "changes/changeset.py",
        "            if actual is not None and actual != change.new_hash:",
        "            if False:",
        f"{TAMPERING}::test_an_altered_change_set_is_refused_and_recorded[content]",
    ),
    "tampering is not recorded": Mutation(
        "runtime/finishing.py",
        "        if not shows_tampering(error, self._request.changeset):",
        "        if True:",
        f"{TAMPERING}::test_an_altered_change_set_is_refused_and_recorded[old hash]",
    ),
    "the stored proposal is not checked": Mutation(
        "records/proposals.py",
        "        if not stored.is_intact(connection, public_key):",
        "        if False:",
        f"{TAMPERING}::test_an_edit_in_the_database_is_refused_and_recorded[status]",
    ),
    # 5. path boundary
    "forbidden is not looked at by the executor": Mutation(
        "executor/admission.py",
        "            if forbidden.matches(path):",
        "            if False:",
        f"{BOUNDARY}::test_out_of_bounds_is_denied_and_a_stolen_key_does_not_help[.env-create]",
    ),
    "protected is not looked at by the executor": Mutation(
        "executor/admission.py",
        "        if is_protected(path):",
        "        if False:",
        f"{BOUNDARY}::test_out_of_bounds_is_denied_and_a_stolen_key_does_not_help[.git/config-create]",
    ),
    "any signature will do": Mutation(
        "executor/admission.py",
        "    if not verify_signature(terms.gate_public_key, decision.signed_payload(), decision.signature):",
        "    if not decision.signature:",
        f"{BOUNDARY}::test_a_decision_made_by_hand_is_no_decision[another key-app/harmless.txt]",
    ),
    "limits are the gate's affair": Mutation(
        "executor/admission.py",
        "        if amount > limit:",
        "        if False:",
        f"{BOUNDARY}::test_over_a_limit_is_denied_and_a_stolen_key_does_not_help",
    ),
    # 6. approval
    "approvals can be used again": Mutation(
        "governance/approvals.py",
        "    if approval.id in terms.used_ids:",
        "    if False:",
        f"{APPROVAL}::test_reused",
    ),
    "approvals hold for ever": Mutation(
        "governance/approvals.py",
        "    if terms.now >= min(approval.expires_at, longest):",
        "    if False:",
        f"{APPROVAL}::test_expired",
    ),
    "approvals are not bound to a decision": Mutation(
        "governance/approvals.py",
        "    if (approval.decision_id, approval.decision_digest) != (decision.id, digest):",
        "    if False:",
        f"{APPROVAL}::test_crossed_between_two_decisions_on_one_plan",
    ),
    "the proposer may approve": Mutation(
        "governance/approvals.py",
        "    if identity(name) == identity(proposer):",
        "    if False:",
        f"{APPROVAL}::test_given_by_the_proposer[agent:coder]",
    ),
    "a changed policy changes nothing": Mutation(
        "executor/admission.py",
        "    if terms.policy_hash != terms.decision.policy_snapshot_hash:",
        "    if False:",
        f"{APPROVAL}::test_changed_policy[a limit]",
    ),
    "what will run is not compared": Mutation(
        "executor/admission.py",
        "    if actual != terms.decision.context_digest:",
        "    if False:",
        f"{APPROVAL}::test_changed_plan",
    ),
    # 7. crash
    "recovery does nothing": Mutation(
        "runtime/recovering.py",
        "    if not pending_transactions(wiring.filesystem, wiring.settings.workspace):",
        "    if True:",
        f"{CRASH}::test_killed_while_a_check_runs[verify1]",
    ),
    "services are not restarted by recovery": Mutation(
        "runtime/recovering.py",
        "    if found.outcome is RecoveryOutcome.COMMITTED:",
        "    if True:",
        f"{CRASH}::test_killed_while_a_check_runs[verify1]",
    ),
    "recovery keeps what was not committed": Mutation(
        "executor/recovery.py",
        "        if committed is not None or self._was_recorded(name):",
        "        if True:",
        f"{CRASH}::test_killed_while_a_check_runs[health2]",
    ),
    "undo puts back nothing that was replaced": Mutation(
        "executor/rollback.py",
        "        for operation in reversed(intent.rest):\n            self.undo_one(operation)",
        "        for operation in ():\n            self.undo_one(operation)",
        f"{CRASH}::test_killed_while_a_check_runs[restart1]",
    ),
    # what was before the change
    "a check that fails already blocks nothing": Mutation(
        "runtime/checking.py",
        '                if not found.ok and check.already_failing == "block":',
        "                if False:",
        f"{BEFORE}::test_a_check_that_fails_before_blocks_where_the_policy_says_so",
    ),
    "nothing is noted before the change": Mutation(
        "runtime/checking.py",
        "        self.take_marks(names)\n        for name in names:\n            check = ",
        "        for name in names:\n            check = ",
        f"{BEFORE}::test_a_log_is_compared_with_what_it_was_before[True]",
    ),
    # rehearsal
    "a failed rehearsal stops nothing": Mutation(
        "runtime/rehearsal.py",
        "        checks.verify(names, STEP, Rehearsed(rehearsal, contents.fileno()))",
        "        checks.verify((), STEP, Rehearsed(rehearsal, contents.fileno()))",
        f"{REHEARSAL}::test_a_failing_rehearsal_touches_nothing",
    ),
    "what was rehearsed is never verified in place": Mutation(
        "runtime/pipeline.py",
        '                in_place = policy.executor.verification.mode != "rehearse"',
        "                in_place = False",
        f"{REHEARSAL}::test_both_verifies_before_and_after",
    ),
    # the tests as they were
    "the new tests speak for the old ones": Mutation(
        "governance/joint_changes.py",
        "    return judges.configures(path) or (judges.is_test(path) and is_collected(path))",
        "    return False",
        f"{OLD_TESTS}::test_a_new_test_cannot_make_the_old_ones_agree",
    ),
    "the tests are not put back": Mutation(
        "runtime/old_tests.py",
        "        whole = [each for each in inverse if tests.issuperset(each.paths)]",
        "        whole = inverse[:0]",
        f"{OLD_TESTS}::test_expectations_that_a_test_reads_are_part_of_it",
    ),
    "what fails the old tests in a rehearsal may be tried again": Mutation(
        "runtime/finishing.py",
        "        failed = self._failed_change(error, frozenset({OLD_TESTS}))",
        "        failed = None",
        f"{OLD_TESTS}::test_what_a_rehearsal_finds_needs_a_person_too[rehearse]",
    ),
    "what cannot be told passes": Mutation(
        "runtime/old_tests.py",
        "    if again.ok:",
        '    if again.ok or again.code not in ("VERIFY_FAILED", "VERIFY_RESULTS_DISAGREE"):',
        f"{OLD_TESTS}::test_old_tests_that_come_to_no_end_are_no_pass[no tests]",
    ),
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, compiled once."""
    target = tmp_path_factory.mktemp("copied") / "src"
    source = Path(lonelycat.__file__).parent
    shutil.copytree(source, target / "lonelycat", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(target)]
    subprocess.run(command, check=True, timeout=100)
    return target


def _run(source: Path, scratch: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run acceptance tests against the package below ``source``."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    environment["PYTHONPATH"] = str(source)
    return subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-x",
            f"--basetemp={scratch / 'run'}", *(str(Path("tests/acceptance") / test) for test in tests),
        ],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


def test_the_tests_pass_while_the_code_is_whole(copied: Path, tmp_path: Path) -> None:
    tests = sorted({mutation.test for mutation in MUTATIONS.values()})
    done = _run(copied, tmp_path, tests)
    assert f"lonelycat under test: {copied / 'lonelycat'}" in done.stdout
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_code_is_seen(copied: Path, tmp_path: Path, name: str) -> None:
    mutation = MUTATIONS[name]
    source = tmp_path / "src"
    shutil.copytree(copied, source)
    broken = source / "lonelycat" / mutation.file
    text = broken.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.file} no longer holds this text once: {mutation.old}"
    broken.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    done = _run(source, tmp_path, [mutation.test])
    assert f"lonelycat under test: {source / 'lonelycat'}" in done.stdout
    assert done.returncode == 1, f"{mutation.test} did not see it:\n{done.stdout}"
    assert " failed" in done.stdout
    assert " error" not in done.stdout.splitlines()[-1], done.stdout


def test_every_acceptance_test_is_seen_to_fail_at_least_twice() -> None:
    files = [mutation.test.partition("::")[0] for mutation in MUTATIONS.values()]
    all_files = {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
    assert set(files) == all_files
    assert min(files.count(name) for name in all_files) >= 2
