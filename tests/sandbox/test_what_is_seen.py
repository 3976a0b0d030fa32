"""What a verification command finds around it: its workspace, the host as it is, and nothing of people's own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.debian import need_root
from tests.sandbox.conftest import Verify

from lonelycat.checks.sandbox.level import Level

pytestmark = pytest.mark.usefixtures("level")


def test_the_result_says_what_kind_of_sandbox_it_was(verify: Verify, level: Level) -> None:
    result = verify("print('seen')")
    assert (result.ok, result.code, result.message) == (True, None, "tests: passed")
    assert result.details["sandbox"] == str(level)
    assert result.output == b"seen\n"


def test_the_workspace_stands_at_its_own_path_and_can_be_written_to(
    verify: Verify, workspace: Path, untouched: None
) -> None:
    result = verify(
        "import os, pathlib\n"
        f"assert os.getcwd() == {str(workspace)!r}, os.getcwd()\n"
        "p = pathlib.Path('kept.txt')\n"
        "assert p.read_text() == 'kept\\n'\n"
        "p.write_text('other'); assert p.read_text() == 'other'\n"
        "p.unlink(); assert not p.exists()\n"
        "pathlib.Path('d/e').mkdir(parents=True); pathlib.Path('d/e/f').write_text('x')\n"
    )
    assert result.ok, result.output


def test_keys_and_state_do_not_exist_there(verify: Verify, workspace: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "lonelycat.db").write_text("secret")
    key = tmp_path / "approver.pem"
    key.write_text("secret")
    result = verify(
        "import os, sys\n"
        "print(os.path.lexists('.lonelycat'), os.listdir('.'))\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(open(path).read())\n"
        "    except OSError as error: print(type(error).__name__)\n",
        str(state / "lonelycat.db"),
        str(key),
        str(workspace / ".lonelycat" / "keys" / "gate.pem"),
        secrets=[state, key],
        sandbox={"reads": [str(tmp_path)]},  # asking for everything around it does not help
    )
    seen, *rest = result.output.decode().splitlines()
    assert seen.startswith("False") and ".lonelycat" not in seen
    assert all(line in ("FileNotFoundError", "PermissionError", "") for line in rest), rest
    assert b"secret" not in result.output and b"PRIVATE" not in result.output


def test_temporary_directories_and_home_are_empty_and_private(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "beside").write_text("secret")
    result = verify(
        "import os, json, tempfile, pathlib\n"
        "home = pathlib.Path(os.environ['HOME'])\n"
        "before = sorted(os.listdir(home))\n"
        "(home / 'made').write_text('x')\n"
        "made = tempfile.mkdtemp()\n"
        "run = sorted(os.listdir('/run'))\n"
        "print(json.dumps([before, run, made.startswith('/tmp/'), os.path.exists('/dev/shm')]))\n"
        f"print(os.path.exists({str(tmp_path / 'beside')!r}), os.path.exists({str(home / '.ssh')!r}))\n"
    )
    first, second = result.output.decode().splitlines()
    before, run, private, shm = json.loads(first)
    assert ".ssh" not in before
    assert run == ["lonelycat-changed-files", "lonelycat-supervisor.py"]
    assert (private, shm) == (True, True)
    assert second == "False False"
    assert [path.name for path in home.iterdir()] == [".ssh"]


def test_a_home_behind_a_link_is_hidden_where_it_really_is(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path("/var/lib") / f"lonelycat-test-{os.getpid()}"
    try:
        real.mkdir()
    except PermissionError:
        need_root("to make a home outside of the usual places")
    try:
        (real / "id_ed25519").write_text("secret")
        (tmp_path / "home").symlink_to(real)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        code = (
            "import os, sys\n"
            "print(os.listdir(os.environ['HOME']), os.listdir(sys.argv[1]), os.path.realpath(os.environ['HOME']))\n"
        )
        result = verify(code, str(real))
        assert result.output == f"[] [] {real}\n".encode(), result
    finally:
        shutil.rmtree(real)


def test_what_the_policy_names_is_there_and_cannot_be_written_to(verify: Verify, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "deep").mkdir(parents=True)
    (shared / "deep" / "fixture").write_text("data")
    (tmp_path / "through").symlink_to(shared / "deep")
    code = (
        "import sys\n"
        "print(open(sys.argv[1]).read())\n"
        "try: open(sys.argv[1], 'w')\n"
        "except OSError as error: print(error.strerror)\n"
    )
    for reads in (shared, tmp_path / "through"):
        result = verify(
            code, str(reads / ("fixture" if reads.is_symlink() else "deep/fixture")), sandbox={"reads": [str(reads)]}
        )
        assert result.output == b"data\nRead-only file system\n", result
    assert (shared / "deep" / "fixture").read_text() == "data"


def test_no_process_of_the_host_is_seen(verify: Verify) -> None:
    result = verify(
        "import os\n"
        "pids = sorted(int(name) for name in os.listdir('/proc') if name.isdigit())\n"
        "print(len(pids), os.getpid() in pids, max(pids) < 100)\n"
    )
    assert result.output == b"2 True True\n"


def test_loopback_is_up_and_nobody_else_is_on_it(verify: Verify) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            "import socket, sys\n"
            "own = socket.create_server(('127.0.0.1', 0))\n"
            "socket.create_connection(own.getsockname(), 5).close()\n"
            "print('own')\n"
            "try: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print('host')\n"
            "except OSError as error: print(type(error).__name__)\n"
        )
        assert verify(code, str(port)).output == b"own\nConnectionRefusedError\n"
        assert verify(code, str(port), sandbox={"network": "host"}).output == b"own\nhost\n"


def test_devices_are_the_harmless_ones(verify: Verify) -> None:
    result = verify(
        "import os\n"
        "print(sorted(os.listdir('/dev')))\n"
        "open('/dev/null', 'w').write('x')\n"
        "print(len(open('/dev/urandom', 'rb').read(3)), open('/dev/zero','rb').read(1))\n"
        "print(os.openpty() != ())\n"
    )
    assert result.ok, result.output
    assert result.output.decode().splitlines()[0] == str(
        ["fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]
    )


def test_the_interpreter_of_a_virtual_environment_in_the_workspace_is_there(verify: Verify, workspace: Path) -> None:
    """Its base lies in a home or a temporary directory often enough."""
    base = workspace.parent / "pythons" / "bin"
    base.mkdir(parents=True)
    real = Path(os.path.realpath(sys.executable))
    (base / "python3").symlink_to(real)
    environment = workspace / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text(f"home = {base}\n")
    (environment / "bin" / "python").symlink_to(base / "python3")
    for argv in ([".venv/bin/python", "-I", "-c", "print(1)"], ["sh", "-c", ".venv/bin/python -I -c 'print(1)'"]):
        assert verify(argv=argv).output == b"1\n"


def test_the_repository_of_a_worktree_is_there_and_cannot_be_written_to(verify: Verify, workspace: Path) -> None:
    shutil.rmtree(workspace / ".git")
    main, trees = workspace.parent / "main", workspace.parent / "main/.git/worktrees/here"
    subprocess.run(["git", "init", "--quiet", str(main)], check=True)
    trees.mkdir(parents=True)
    (trees / "HEAD").write_text("ref: refs/heads/there\n")
    (trees / "commondir").write_text("../..\n")
    (trees / "gitdir").write_text(f"{workspace}/.git\n")
    (workspace / ".git").write_text(f"gitdir: {trees}\n")
    (main / "secret").write_text("of the main worktree")
    result = verify(argv=["git", "status", "--short"])
    assert (result.ok, result.output) == (True, b"?? kept.txt\n"), result.output
    code = (
        "import pathlib, sys; main = pathlib.Path(sys.argv[1])\n"
        "print((main / 'secret').exists())\n"
        "try: (main / '.git/config').write_text('escaped')\n"
        "except OSError as error: print(error.strerror)\n"
    )
    assert verify(code, str(main)).output == b"False\nRead-only file system\n"


def test_a_file_that_only_says_to_be_of_git_shows_nothing(verify: Verify, workspace: Path, tmp_path: Path) -> None:
    shutil.rmtree(workspace / ".git")
    (tmp_path / "private").mkdir()
    (tmp_path / "private/key").write_text("secret")
    for text in (f"gitdir: {tmp_path}/private\n", "gitdir: \n", "gitdir: a\0b\n", "", str(tmp_path / "private")):
        (workspace / ".git").write_text(text)
        result = verify("import os, sys; print(os.path.exists(sys.argv[1]))", str(tmp_path / "private/key"))
        assert result.output == b"False\n", (text, result.message)


def test_a_program_with_its_libraries_under_home_is_there(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for name in ("bin", "lib", "private"):
        (home / "tool" / name).mkdir(parents=True)
    (home / "tool" / "lib" / "data").write_text("from the library")
    tool = home / "tool" / "bin" / "tool"
    tool.write_text('#!/bin/sh\ncat "$(dirname "$0")/../lib/data"; ls "$(dirname "$0")/.."\n')
    tool.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    result = verify(argv=[str(tool)])
    assert result.output == b"from the librarybin\nlib\n", result


def test_the_environment_is_scrubbed_there_too(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    result = verify("import os; print(sorted(os.environ))")
    assert b"SOME_TOKEN" not in result.output and b"LONELYCAT" not in result.output


def test_a_command_that_is_not_visible_there_is_told(verify: Verify, tmp_path: Path) -> None:
    """A program in the workspace that is a link to a hidden place is shown with it; a broken one is not found."""
    (tmp_path / "workspace" / "tool").symlink_to(tmp_path / "nowhere")
    assert verify(argv=["./tool"]).code == "VERIFY_COMMAND_NOT_FOUND"
    place = tmp_path / "elsewhere"
    place.mkdir()
    shutil.copy("/bin/true", place / "true")
    (tmp_path / "workspace" / "other").symlink_to(place / "true")
    assert verify(argv=["./other"]).ok
