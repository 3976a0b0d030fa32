"""The pages do what they say: every console block and every Python block is run, in the order of the page."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.docs.conftest import ROOT, make_shop, reader_environment
from tests.docs.console import Block, Command, Session, blocks_of
from tests.docs.situations import SITUATIONS

PAGES = sorted(
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if blocks_of(path.read_text(encoding="utf-8"))
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_does_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    session: Session | None = None
    with ExitStack() as finally_:
        for number, block in enumerate(blocks_of(page.read_text(encoding="utf-8"))):
            if session is None or block.situation is not None:
                session = _arrive(tmp_path / str(number), block.situation, finally_)
            for command in block.commands:
                session.run(command)
            if block.program is not None:
                session.run_program(block.program)


def _arrive(machine: Path, situation: str | None, finally_: ExitStack) -> Session:
    home = machine / "home"
    shop = make_shop(home)
    environment = reader_environment(home)
    leave = SITUATIONS[situation](shop, environment) if situation is not None else None
    if leave is not None:
        finally_.callback(leave)
    return Session(shop, home, environment)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    home = tmp_path / "home"
    return Session(make_shop(home), home, reader_environment(home))


def _command(text: str, output: str = "", code: int = 0) -> Command:
    return Command(text, code, output, 1, None)


@pytest.mark.parametrize(
    "command",
    [
        _command("echo one", "two\n"),
        _command("echo one"),
        _command("echo one; echo two", "one\n"),
        _command("false"),
        _command("true", code=3),
        _command("true", "something\n"),
        _command("echo exec_01k0000000000000000000000a is not an id", "exec_01k0000000000000000000000a is an id\n"),
    ],
)
def test_the_runner_sees_a_page_that_lies(session: Session, command: Command) -> None:
    with pytest.raises(AssertionError):
        session.run(command)


def test_the_runner_takes_other_ids_and_times_but_the_same_ones_twice(session: Session) -> None:
    first, second = "exec_" + "1" * 26, "exec_" + "2" * 26
    session.run(
        _command(f"echo {first} took 12 ms on 2026-01-02 03:04:05", f"{second} took 1.5 s on 2020-01-01 00:00:00\n")
    )
    session.run(_command(f"test {second} = {first}"))
    session.run(_command(f"echo {first} {first}", f"{second} {second}\n"))
    with pytest.raises(AssertionError):
        session.run(_command(f"echo {'exec_' + '3' * 26}", f"{second}\n"))


def test_an_ellipsis_stands_for_lines_or_for_the_rest_of_one(session: Session) -> None:
    session.run(_command("printf 'a\\nb\\nc\\n'", "a\n…\nc\n"))
    session.run(_command("echo abc", "a…c\n"))
    with pytest.raises(AssertionError):
        session.run(_command("printf 'a\\nb\\n'", "a…b\n"))


def test_a_python_block_that_fails_fails_the_page(session: Session) -> None:
    session.run_program("assert True")
    with pytest.raises(AssertionError):
        session.run_program("assert False")


def test_blocks_are_found_with_their_situation_and_exit_codes() -> None:
    page = (
        "x\n\n<!-- situation: frozen -->\n```console\n$ one \\\n    two  # exits with 7\nout\n```\n"
        "\n```python\npass\n```\n"
    )
    first, second = blocks_of(page)
    assert first == Block(5, (Command("one two", 7, "out\n", 5, None),), situation="frozen")
    assert second.program == "pass\n" and second.situation is None
