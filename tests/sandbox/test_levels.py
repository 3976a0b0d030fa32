"""Which sandbox is used, and what happens where there is none: a refusal, unless the policy says otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.debian import need_root
from tests.sandbox.conftest import Verify

from lonelycat.checks.sandbox import launch
from lonelycat.checks.sandbox.launch import ability
from lonelycat.checks.sandbox.level import Level
from lonelycat.errors import PolicyError
from lonelycat.governance.policy_file import load_policy
from lonelycat.runtime.doctor import sandbox_here

AS_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
WRITES = "open('made', 'w').write('x'); print('ran')"


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    ability.cache_clear()
    yield
    ability.cache_clear()


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "bubblewrap", lambda: None)


def _altered(monkeypatch: pytest.MonkeyPatch, alteration: str) -> None:
    """Let the launcher run ``alteration`` first, in which ``kernel`` is the module of that name."""
    argv = launch._Launcher.argv

    def altered(self: launch._Launcher, control: int, status: int) -> list[str]:
        command = argv(self, control, status)
        position = command.index("-c") + 1
        first = f"from lonelycat.checks.sandbox import kernel; {alteration}; "
        command[position] = command[position].replace("from lonelycat", first + "from lonelycat", 1)
        return command

    monkeypatch.setattr(launch._Launcher, "argv", altered)


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that gives nobody a namespace: the launcher fails as it does there."""
    _altered(monkeypatch, "kernel._libc.unshare = lambda flags: -1")


@pytest.fixture
def no_overlays(monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems that cannot be part of an overlay."""
    refuse = "lambda *a, mount=kernel._libc.mount: -1 if a[2] == b'overlay' else mount(*a)"
    _altered(monkeypatch, f"kernel._libc.mount = {refuse}")


def test_bubblewrap_is_tried_first(verify: Verify) -> None:
    assert verify("pass").details["sandbox"] == "bubblewrap"
    assert sandbox_here()[0] is Level.BUBBLEWRAP


def test_without_it_namespaces_of_our_own(verify: Verify, no_bubblewrap: None) -> None:
    assert verify("pass").details["sandbox"] == "namespaces"
    assert sandbox_here() == (Level.NAMESPACES, "bubblewrap: bwrap is not installed")


def test_a_bubblewrap_that_does_not_work_is_passed_over(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: no permissions' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(launch, "bubblewrap", lambda: str(broken))
    assert verify("pass").details["sandbox"] == "namespaces"
    assert sandbox_here()[0] is Level.NAMESPACES and "ended with" in sandbox_here()[1]


def test_without_any_it_is_refused(verify: Verify, no_namespaces: None, workspace: Path) -> None:
    result = verify(WRITES)
    assert (result.ok, result.code) == (False, "SANDBOX_UNAVAILABLE")
    assert "unshare" in result.message
    assert not (workspace / "made").exists()
    assert sandbox_here()[0] is Level.NONE


def test_without_any_it_runs_where_the_policy_allows_that_and_says_so(
    verify: Verify, no_namespaces: None, workspace: Path
) -> None:
    result = verify(WRITES, unsandboxed=True)
    assert (result.ok, result.details["sandbox"]) == (True, "none")
    assert "without a sandbox" in result.message
    assert "effects" not in result.details
    assert (workspace / "made").exists()


def test_where_no_overlay_can_be_mounted_the_workspace_is_copied(
    verify: Verify, no_overlays: None, workspace: Path
) -> None:
    result = verify(WRITES + "; print(open('kept.txt').read())")
    assert (result.ok, result.output) == (True, b"ran\nkept\n\n"), result
    effects = result.details["effects"]
    assert isinstance(effects, dict)
    assert effects["workspace_was_copied"] and effects["workspace"]["created"] == ["made"]
    assert not (workspace / "made").exists()


def test_a_workspace_that_holds_a_mount_is_copied_with_it(verify: Verify, workspace: Path) -> None:
    need_root("mounting")
    (workspace / "mounted").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(workspace / "mounted")], check=True)
    try:
        (workspace / "mounted" / "file").write_text("inside\n")
        result = verify("print(open('mounted/file').read()); open('mounted/file', 'w').write('x')")
        assert result.ok and result.output == b"inside\n\n", result
        assert result.details["effects"]["workspace_was_copied"]  # type: ignore[index]  # a dict
        assert (workspace / "mounted" / "file").read_text() == "inside\n"
    finally:
        subprocess.run(["umount", str(workspace / "mounted")], check=True)


def test_where_one_works_allowing_none_changes_nothing(verify: Verify, workspace: Path) -> None:
    assert verify(WRITES, unsandboxed=True).details["sandbox"] == "bubblewrap"
    assert not (workspace / "made").exists()


def test_a_profile_may_do_without_only_if_the_policy_allows_it(verify: Verify, workspace: Path) -> None:
    result = verify(WRITES, sandbox={"enabled": False})
    assert (result.ok, result.code) == (False, "SANDBOX_REQUIRED")
    assert not (workspace / "made").exists()
    assert verify(WRITES, sandbox={"enabled": False}, unsandboxed=True).details["sandbox"] == "none"
    assert (workspace / "made").exists()


def test_a_workspace_that_spoils_its_sandbox_gets_no_lower_one(
    verify: Verify, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can be had elsewhere is not given up here: a change could choose its own walls otherwise."""
    made = launch.Spec
    spoilt = str(workspace)
    monkeypatch.setattr(
        launch,
        "Spec",
        lambda **fields: made(**{**fields, "shown": ("/proc/nothing",)} if fields["workspace"] == spoilt else fields),
    )
    result = verify(WRITES, unsandboxed=True)
    assert (result.ok, result.code) == (False, "SANDBOX_FAILED"), result
    assert not (workspace / "made").exists()


@pytest.mark.parametrize("level", ["bubblewrap", "namespaces"])
@pytest.mark.parametrize("overlays", [True, False])
def test_an_ordinary_user_has_one_too(tmp_path_factory: pytest.TempPathFactory, level: str, overlays: bool) -> None:
    """As nobody, with Debian's Python: what a command may do, sees and leaves is the same."""
    need_root("to become nobody")
    base = Path("/var/tmp") / f"lonelycat-test-{os.getpid()}-{level}-{overlays}"
    base.mkdir()
    try:
        package = base / "code" / "lonelycat"
        shutil.copytree(Path(launch.__file__).parents[2], package, ignore=shutil.ignore_patterns("__pycache__"))
        workspace = base / "workspace"
        workspace.mkdir()
        (workspace / "kept").write_text("kept\n")
        program = _as_nobody(workspace, level, overlays)
        (base / "program.py").write_text(program)
        for path in (workspace, workspace / "kept"):
            os.chown(path, 65534, 65534)
        done = subprocess.run(
            [*AS_NOBODY, "/usr/bin/python3", "-I", str(base / "program.py"), str(base / "code")],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"error=None" in done.stdout and b"created=('made',)" in done.stdout, done.stdout
        assert b"changed=('kept',)" in done.stdout
        assert (workspace / "kept").read_text() == "kept\n" and not (workspace / "made").exists()
    finally:
        shutil.rmtree(base)


def _as_nobody(workspace: Path, level: str, overlays: bool) -> str:
    command = (
        "import os; open('made','w').write('x'); open('kept','a').write('y'); "
        "assert os.getuid() == 65534; "
        "assert not os.access('/etc/hostname', os.W_OK)"
    )
    return (
        "import os, subprocess, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from lonelycat.checks.sandbox.spec import Spec, encode, decode_report\n"
        f"spec = Spec({level!r}, '/usr/bin/bwrap', {overlays}, {str(workspace)!r}, ('.lonelycat',),\n"
        f"    {str(workspace)!r},\n"
        f"    '/usr/bin/python3', ('python3', '-I', '-S', '-c', {command!r}), os.path.realpath('/usr/bin/python3'),\n"
        "    (), (), (), (), False, '', 1 << 30, 100, 1 << 28)\n"
        "told, answer = os.memfd_create('a'), os.memfd_create('b')\n"
        "os.write(told, encode(spec))\n"
        "control, _ = os.pipe(); status, status_write = os.pipe()\n"
        "code = 'import sys; sys.path.insert(0, %r); from lonelycat.checks.sandbox.launcher import main; '\n"
        "code = code % sys.argv[1] + 'main(sys.argv[1:])'\n"
        "numbers = [told, answer, control, status_write, -1]\n"
        "command = [sys.executable, '-I', '-S', '-c', code, *map(str, numbers)]\n"
        "subprocess.run(command, pass_fds=numbers[:4], check=True)\n"
        "os.close(status_write)\n"
        "print(os.read(status, 100), decode_report(os.pread(answer, 1000000, 0)))\n"
    )


POLICY = 'version: 1\nname: p\nexecutor:\n  allowed_paths: ["**"]\n'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("verification: {a: {argv: [x], sandbox: {enabled: false}}}", "POLICY_UNREACHABLE"),
        (
            "  verification: {mode: both, unsandboxed: allow}\n"
            "verification: {a: {argv: [x], sandbox: {enabled: false}}}",
            "POLICY_UNREACHABLE",
        ),
        (
            "  verification: {unsandboxed: allow}\n"
            "verification: {a: {argv: [x], sandbox: {enabled: false, network: host}}}",
            "POLICY_UNREACHABLE",
        ),
        ("verification: {a: {argv: [x], sandbox: {reads: [relative]}}}", "POLICY_INVALID"),
        ("verification: {a: {argv: [x], sandbox: {reads: [/]}}}", "POLICY_INVALID"),
        ("verification: {a: {argv: [x], sandbox: {reads: [/proc/1/root]}}}", "POLICY_UNREACHABLE"),
        ("verification: {a: {argv: [x], sandbox: {reads: [/srv/../proc]}}}", "POLICY_UNREACHABLE"),
        ("verification: {a: {argv: [x], sandbox: {reads: [/srv, /srv]}}}", "POLICY_UNREACHABLE"),
        ('verification: {a: {argv: [x], sandbox: {writes: ["a//b"]}}}', "POLICY_BAD_GLOB"),
        ("verification: {a: {argv: [x], sandbox: {network: some}}}", "POLICY_INVALID"),
        ("verification: {a: {argv: [x], sandbox: {max_processes: 0}}}", "POLICY_INVALID"),
        ("  verification: {mode: sometimes}", "POLICY_INVALID"),
    ],
)
def test_what_means_nothing_fails_the_load(text: str, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy((POLICY + text + "\n").encode(), source="p")
    assert caught.value.code == code


def test_what_means_something_loads() -> None:
    text = (
        "  verification: {mode: in_place, unsandboxed: allow}\n"
        "verification:\n"
        "  a: {argv: [x], sandbox: {enabled: false}}\n"
        '  b: {argv: [x], sandbox: {reads: [/srv/x], writes: ["build/"], network: host, undeclared_writes: fail}}\n'
    )
    policy = load_policy((POLICY + text).encode(), source="p").policy
    assert policy.verification["b"].sandbox.network == "host" and sys.platform == "linux"
