"""Which commits the version tags of actions and hooks point to, as their own repositories say: ``git ls-remote``.

Invariants:
- Nothing is fetched and nothing of what is named is run; git asks for no password, follows no configuration of the
  user or the workspace, and speaks https alone (or reads a directory that the caller named).
- Bounded: one time limit for each repository, one for all, and a limit on what one may answer.
- An answer is all of a repository's tags or an error; half an answer knows nothing.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lonelycat.errors import LonelyCatError, StateError
from lonelycat.governance.bumps.known_pins import VERSION_TAG, repository_key
from lonelycat.settings import child_environment

HOST = "https://github.com"
MOST_BYTES = 16 << 20
_PASSED = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
_ENVIRONMENT = {
    "LC_ALL": "C",
    "LANGUAGE": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GIT_ALLOW_PROTOCOL": "https:file",
    "GIT_CEILING_DIRECTORIES": "/",
}
_OPTIONS = ("-c", "credential.helper=", "-c", "http.followRedirects=initial", "-c", "safe.directory=*")


@dataclass(frozen=True, slots=True)
class SeenPins:
    """What asking came to.

    Attributes:
        tags: commit by version tag, by repository.
        unseen: why nothing is known of the others, a sentence for each repository.
    """

    tags: Mapping[str, Mapping[str, str]]
    unseen: Mapping[str, LonelyCatError]


def see_pins(
    repositories: Iterable[str], *, base: str = HOST, seconds_each: float = 20.0, seconds: float = 120.0
) -> SeenPins:
    """Ask the repositories for their tags.

    Args:
        repositories: as :func:`repository_key` names them.
        base: where those of GitHub are: an https address, or a directory of mirrors as ``owner/name`` below it; other
            hosts' repositories are then looked for below it as well.
        seconds_each, seconds: how long one may take, and all of them.
    """
    deadline = time.monotonic() + seconds
    tags: dict[str, Mapping[str, str]] = {}
    unseen: dict[str, LonelyCatError] = {}
    for repository in sorted(set(map(repository_key, repositories))):
        left = min(seconds_each, deadline - time.monotonic())
        try:
            if left <= 0:
                raise _unreachable(repository, f"not asked: {seconds:g} s were over")
            tags[repository] = read_tags(address_of(repository, base), left)
        except LonelyCatError as error:
            unseen[repository] = error
            if error.code == "PINS_GIT_MISSING":
                raise
    return SeenPins(tags, unseen)


def address_of(repository: str, base: str = HOST) -> str:
    """Return where to ask for ``repository``."""
    if base.startswith("https://"):
        return repository if "://" in repository else f"{base.rstrip('/')}/{repository}"
    folder = Path(base)
    wanted = (folder / repository.removeprefix("https://")).as_posix()
    by_name = {
        f"{owner.name}/{place.name}".lower().removesuffix(".git"): place
        for owner in (folder.iterdir() if folder.is_dir() else ())
        if owner.is_dir()
        for place in owner.iterdir()
    }
    return str(by_name.get(repository, wanted))


def read_tags(address: str, seconds: float) -> dict[str, str]:
    """Return the commit of each version tag of the repository at ``address``.

    Raises:
        StateError: ``PINS_UNREACHABLE`` or ``PINS_GIT_MISSING``.
    """
    try:
        answer = subprocess.run(  # noqa: S603  # a fixed program, arguments checked, no shell
            ["git", *_OPTIONS, "ls-remote", "--tags", "--", address],  # noqa: S607  # git is looked up in PATH
            env=child_environment(_ENVIRONMENT, _PASSED),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer within {seconds:.0f} s") from error
    except OSError as error:
        raise StateError(
            "PINS_GIT_MISSING", f"git cannot be started: {error.strerror}", "Install git 2.30 or later."
        ) from error
    if answer.returncode != 0:
        said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _unreachable(address, said[0][:200] if said else f"git ended with {answer.returncode}")
    if len(answer.stdout) > MOST_BYTES:
        raise _unreachable(address, f"its answer is over {MOST_BYTES} bytes")
    return _version_tags(answer.stdout.decode("utf-8", "replace"))


def _version_tags(listing: str) -> dict[str, str]:
    """Return commit by version tag; of an annotated tag the commit that it is about, not the tag's own name."""
    found: dict[str, str] = {}
    annotated: dict[str, str] = {}
    for line in listing.splitlines():
        commit, _, reference = line.partition("\t")
        name = reference.removeprefix("refs/tags/")
        peeled = name.endswith("^{}")
        if VERSION_TAG.fullmatch(name.removesuffix("^{}")):
            (annotated if peeled else found)[name.removesuffix("^{}")] = commit
    return {**found, **annotated}


def _unreachable(what: str, why: str) -> StateError:
    return StateError(
        "PINS_UNREACHABLE",
        f"the tags of {what} cannot be read: {why}",
        "Look at the network, or name a mirror or a directory of mirrors with --from.",
    )
