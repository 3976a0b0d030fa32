"""The syntax check as the policy runs it: a command with a list of paths."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lonelycat.checks import syntax


@pytest.fixture
def check(workspace: Path, tmp_path: Path) -> Any:
    def run(*names: str | bytes) -> tuple[int, str]:
        listing = tmp_path / "listing"
        listing.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
        done = subprocess.run(
            [sys.executable, "-P", "-m", "lonelycat.checks.syntax", str(listing)],
            cwd=workspace,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.stderr == b""
        return done.returncode, done.stdout.decode("utf-8")

    return run


GOOD = {
    "a.py": "def f() -> int:\n    return 1\n",
    "encoded.py": "# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"),
    "escape.py": "x = '\\d'\n",
    "types.pyi": "x: int\n",
    "a.json": '{"a": [1, null]}',
    "bom.json": b"\xef\xbb\xbf{}",
    "tsconfig.json": "{ // comment\n}",
    ".vscode/settings.json": "{ // comment\n}",
    "a.toml": "[a]\nb = 1\n",
    "a.yaml": "a: !Ref b\n---\n- &x 1\n- *x\n",
    "chart/t.yml": "{{- if .Values.x }}\na: {{ .Values.y }}\n{{- end }}\n",
    "{{name}}/a.py": "{{ not python }}",
    "doc.rst": "Title\n=======\n\n    <<<<<<< not at the start\n",
    "half.txt": "<<<<<<< only this\n=======\n",
    "binary.dat": b"\0\n<<<<<<< a\n=======\n>>>>>>> b\n",
    "empty.py": "",
    "no_suffix": "{",
}
BAD = {
    "bad.py": ("x = (\n", 1),
    "outside.py": ("x = 1\nreturn 2\n", 2),
    "nul.py": (b"x = 1\0", 0),
    "latin.py": (b"x = '\xe9'\n", None),
    "bad.json": ('{\n"a": }', 2),
    "bytes.json": (b'{"a": "\xff"}', 0),
    "empty.json": ("", 1),
    "bad.toml": ("a = \n", 0),
    "bad.yaml": ("a: b\nc: d: e\n", 2),
    "alias.yaml": ("a: 1\nb: *nothing\n", 2),
    "control.yml": (b"a: \x00\x01", None),
    "conflict.txt": ("one\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n", 2),
    "conflict.py": ("<<<<<<< HEAD\r\na\r\n=======\r\nb\r\n>>>>>>> other\r\n", 1),
    "diff3.c": ("<<<<<<< HEAD\na\n||||||| base\nx\n=======\nb\n>>>>>>> other\n", 1),
    "deep.py": ("(" * 5000 + ")" * 5000, None),
    "deep.json": ("[" * 200_000, 0),
}


def write(root: Path, name: str, content: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_good_files_pass_and_nothing_is_written(check: Any, workspace: Path) -> None:
    for name, content in GOOD.items():
        write(workspace, name, content)
    code, output = check(*GOOD)
    assert output.splitlines()[-1] == f"{len(GOOD)} files examined, 0 problems"
    assert code == 0
    assert not list(workspace.rglob("*.pyc"))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_with_its_line(check: Any, workspace: Path, name: str) -> None:
    content, line = BAD[name]
    write(workspace, name, content)
    write(workspace, "good.py", "x = 1\n")
    code, output = check("good.py", name)
    first, *_, last = output.splitlines()
    assert code == 1
    assert first.startswith(f"{name}:{line}:" if line is not None else f"{name}:")
    assert last == "2 files examined, 1 problems"


def test_deep_yaml_is_refused_and_not_read_to_its_end(check: Any, workspace: Path) -> None:
    """The time that its parser takes grows with the square of the depth: this would be a quarter of an hour."""
    write(workspace, "deep.yaml", "\n" + "[" * 1_000_000)
    assert check("deep.yaml") == (1, "deep.yaml:2: YAML: nested over 1000 levels deep\n1 files examined, 1 problems\n")


def test_yaml_that_is_as_deep_as_may_be_or_wide_passes(check: Any, workspace: Path) -> None:
    write(workspace, "deep.yaml", "[" * 1_000 + "]" * 1_000)
    write(workspace, "wide.yaml", "- [a, {b: c}]\n" * 1_001)
    assert check("deep.yaml", "wide.yaml")[0] == 0


def test_an_alias_bomb_is_harmless(check: Any, workspace: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    write(workspace, "bomb.yaml", "\n".join(lines))
    assert check("bomb.yaml")[0] == 0


def test_deleted_files_are_examined_by_their_absence(check: Any) -> None:
    code, output = check("gone.py", "gone/too.json")
    assert (code, output.splitlines()[-1]) == (0, "2 files examined (2 deleted), 0 problems")


def test_nothing_to_examine_is_not_a_pass(check: Any) -> None:
    code, output = check()
    assert (code, output) == (5, "0 files examined, 0 problems\n")


def test_odd_names_are_examined_and_shown_safely(check: Any, workspace: Path) -> None:
    names = [b"\xff.py", "ü.py".encode(), b"a b.py", b"new\nline.py", b"\x1b[31m.py"]
    for name in names:
        (workspace / os.fsdecode(name)).write_text("x = (\n")
    code, output = check(*names)
    assert code == 1
    assert output.splitlines()[-1] == "5 files examined, 5 problems"
    assert len(output.splitlines()) == 6
    assert "\x1b" not in output


def test_links_fifos_and_directories_are_not_opened(check: Any, workspace: Path) -> None:
    (workspace / "outside.py").symlink_to("/etc/passwd")
    (workspace / "dangling.json").symlink_to("nowhere")
    os.mkfifo(workspace / "fifo.py")
    (workspace / "directory.py").mkdir()
    code, output = check("outside.py", "dangling.json", "fifo.py", "directory.py")
    assert (code, output.splitlines()[-1]) == (0, "4 files examined, 0 problems")


def test_paths_that_lead_out_are_problems(check: Any, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("x = (")
    (workspace / "link").symlink_to(tmp_path)
    code, output = check("/etc/passwd", "../secret.py", "link/secret.py")
    assert code == 1
    assert output.splitlines()[-1].endswith("3 problems")
    assert "Python" not in output


def test_a_file_over_the_limit_is_said_to_be_unparsed_but_still_searched(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(syntax, "MAX_PARSE_BYTES", 100)
    monkeypatch.chdir(workspace)
    write(workspace, "big.json", "{" * 101)
    write(workspace, "conflict.json", "x" * 99 + "\n<<<<<<< a\n=======\n>>>>>>> b\n")
    (tmp_path / "list").write_bytes(b"big.json\0conflict.json\0")
    assert syntax.main([str(tmp_path / "list")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "big.json: not parsed: 101 bytes is over the limit of 100",
        "conflict.json:2: unresolved merge conflict",
        "2 files examined, 1 problems",
    ]


def test_a_module_in_the_workspace_does_not_replace_the_checker(check: Any, workspace: Path) -> None:
    for name in ("json", "tomllib", "yaml", "stat"):
        write(workspace, f"{name}.py", "raise SystemExit(0)\n")
    write(workspace, "bad.json", "{")
    write(workspace, "bad.yaml", "a: b: c")
    assert check("bad.json", "bad.yaml")[0] == 1


def test_it_starts_without_heavy_imports(workspace: Path) -> None:
    heavy = ("pydantic", "yaml", "json", "psutil")
    ask = f"import sys, lonelycat.checks.syntax; print([m for m in {heavy} if m in sys.modules])"
    # Without the variables by which the measuring of coverage would start in it, and import its own.
    plain = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", ask], cwd=workspace, capture_output=True, check=True, env=plain)
    assert done.stdout == b"[]\n"
