"""What repositories say about their tags, asked for real: local ones, an address where nobody is, one that hangs."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lonelycat.errors import StateError
from lonelycat.governance.bumps.ci_upkeep import ci_change
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.bumps.pins import PinChange
from lonelycat.runtime.pin_reading import address_of, read_tags, see_pins

CI = "jobs:\n  test:\n    steps:\n      - uses: acme/setup@{} # {}\n      - run: make\n"


class Upstream:
    """A bare repository of an action, below a directory of mirrors."""

    def __init__(self, mirrors: Path, name: str = "acme/setup") -> None:
        self.path = mirrors / name
        self.path.mkdir(parents=True)
        self.git("init", "-q", "--bare")

    def git(self, *arguments: str, stdin: str = "") -> str:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "tag.gpgSign=false")
        run = ["git", "-C", str(self.path), *identity, *arguments]
        return subprocess.run(run, check=True, capture_output=True, input=stdin, text=True).stdout.strip()

    def commit(self, message: str, *tags: str, parent: str | None = None, annotated: bool = False) -> str:
        """Return a new commit with ``tags`` on it; without any, it is there for everybody and nobody's release."""
        tree = self.git("mktree")
        made = self.git("commit-tree", tree, "-m", message, *(("-p", parent) if parent else ()))
        for tag in tags:
            self.git("tag", "-f", *(("-a", "-m", tag) if annotated else ()), tag, made)
        return made


@pytest.fixture
def mirrors(tmp_path: Path) -> Path:
    return tmp_path / "mirrors"


def test_tags_are_read_with_the_commits_that_they_are_about(mirrors: Path) -> None:
    upstream = Upstream(mirrors)
    first = upstream.commit("one", "v1.0.0")
    second = upstream.commit("two", "v1.1.0", "v1", parent=first, annotated=True)
    upstream.commit("build", "nightly", "v1.2.0-rc1", "bundle-v2.0.0", parent=second)
    assert read_tags(str(upstream.path), 20) == {"v1.0.0": first, "v1.1.0": second, "v1": second}


def test_an_impostor_commit_stays_held(mirrors: Path) -> None:
    """A fork's commit is served under the parent's name: it is in the repository, and no tag of it points there."""
    upstream = Upstream(mirrors)
    one = upstream.commit("one", "v1.0.0")
    two = upstream.commit("two", "v1.1.0", parent=one)
    impostor = upstream.commit("two, and more", parent=one)
    upstream.git("update-ref", "refs/pull/7/head", impostor)
    assert upstream.git("cat-file", "-t", impostor) == "commit", "whoever asks for it gets it"
    known = KnownPins.of(see_pins(["acme/setup"], base=str(mirrors)).tags)

    def move(new: str, said: str) -> PinChange | None:
        old = CI.format(one, "v1.0.0").encode()
        found = ci_change(".github/workflows/ci.yml", old, CI.format(new, said).encode(), known)
        return found.pins if found else None

    assert move(two, "v1.1.0") is PinChange.VERIFIED
    assert move(impostor, "v1.1.0") is PinChange.MOVED
    assert move(two, "v1.2.0") is PinChange.MOVED


def test_what_is_not_there_is_said_and_the_others_are_read(mirrors: Path) -> None:
    one = Upstream(mirrors).commit("one", "v1")
    seen = see_pins(["ACME/Setup", "acme/gone", "https://code.example/hooks"], base=str(mirrors))
    assert seen.tags == {"acme/setup": {"v1": one}}
    assert set(seen.unseen) == {"acme/gone", "https://code.example/hooks"}
    assert {error.code for error in seen.unseen.values()} == {"PINS_UNREACHABLE"}


def test_addresses(mirrors: Path) -> None:
    assert address_of("acme/setup") == "https://github.com/acme/setup"
    assert address_of("acme/setup", "https://git.example/copies/") == "https://git.example/copies/acme/setup"
    assert address_of("https://code.example/hooks") == "https://code.example/hooks"
    (mirrors / "Acme" / "Setup.git").mkdir(parents=True)
    assert address_of("acme/setup", str(mirrors)) == str(mirrors / "Acme" / "Setup.git")
    assert address_of("https://code.example/a/b", str(mirrors)) == str(mirrors / "code.example/a/b")


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(StateError) as refused:
            read_tags(f"https://127.0.0.1:{port}/acme/setup", 20)
    assert refused.value.code == "PINS_UNREACHABLE" and refused.value.hint


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/a/b", "ssh://127.0.0.1:1/a/b", "ext::sh -c true", "--upload-pack=x"]
)
def test_nothing_but_https_and_directories_is_asked(address: str) -> None:
    with pytest.raises(StateError) as refused:
        read_tags(address, 20)
    assert refused.value.code == "PINS_UNREACHABLE"


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says anything."""
    server = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def take() -> None:
        try:
            while True:
                taken.append(server.accept()[0])
        except OSError:
            return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)
    for each in taken:
        each.close()


def test_one_that_hangs_is_given_up(silent: int) -> None:
    with pytest.raises(StateError) as refused:
        read_tags(f"https://127.0.0.1:{silent}/acme/setup", 0.5)
    assert "no answer within" in refused.value.message


def test_all_of_them_together_are_given_up(silent: int) -> None:
    base = f"https://127.0.0.1:{silent}"
    seen = see_pins([f"acme/x{number}" for number in range(20)], base=base, seconds_each=600, seconds=0.8)
    assert len(seen.unseen) == 20 and not seen.tags


def test_git_that_is_missing_is_said(mirrors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StateError) as refused:
        see_pins(["acme/setup"], base=str(mirrors))
    assert refused.value.code == "PINS_GIT_MISSING"


def test_no_configuration_of_the_user_is_followed(
    mirrors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that sends git elsewhere is what an agent that runs as this user can write."""
    real, evil = Upstream(mirrors), Upstream(tmp_path / "evil")
    commit = real.commit("one", "v1")
    evil.commit("evil", "v1")
    (tmp_path / ".gitconfig").write_text(f'[url "{evil.path}"]\n\tinsteadOf = {real.path}\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{evil.path}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(real.path))
    assert read_tags(str(real.path), 20) == {"v1": commit}
