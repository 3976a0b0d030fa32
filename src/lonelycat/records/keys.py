"""The state directory and the private keys on disk.

Invariants:
- The state directory is 0700, a real directory, and ignores itself; keys are 0600 regular files, never followed
  through a symbolic link, durable before they are used.
- A gate key is made once. Where a database exists and the key is gone, no new one is made: its signatures could
  not be told from forged ones.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from lonelycat.durable import sync_file
from lonelycat.errors import InputError, StateError
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.records.layout import CREATED_MARK, DATABASE_NAME, GATE_KEY, start_anew

_MAX_KEY_BYTES = 16_384


def prepare_state_directory(state_dir: Path) -> None:
    """Create ``state_dir`` with mode 0700 and a ``.gitignore`` that ignores all of it; existing is fine.

    Raises:
        StateError: ``STATE_DIRECTORY_UNSAFE`` if it is a symbolic link or not a directory.
    """
    state_dir.parent.mkdir(parents=True, exist_ok=True)
    if private_directory(state_dir):
        sync_directory(state_dir.parent)  # everything durable below hangs on this name
    ignore = state_dir / ".gitignore"
    if not os.path.lexists(ignore):
        _write_new(ignore, b"*\n", 0o600)


def private_directory(path: Path | str) -> bool:
    """Create the directory ``path`` with mode 0700, or make an existing one private; tell whether it is new.

    Raises:
        StateError: ``STATE_DIRECTORY_UNSAFE`` if something else than a directory is there.
    """
    try:
        os.mkdir(path, 0o700)  # noqa: PTH102  # may be text: very many small blobs are put, and a Path takes its time
    except FileExistsError:
        mode = os.lstat(path).st_mode
        if not stat.S_ISDIR(mode):
            raise StateError(
                "STATE_DIRECTORY_UNSAFE",
                f"{path} is not a directory of its own",
                "Find out who replaced it, and put the directory back.",
            ) from None
        if stat.S_IMODE(mode) & 0o077:
            os.chmod(path, 0o700)  # noqa: PTH101
        return False
    return True


def sync_directory(path: Path | str) -> None:
    """Make the names in the directory ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def load_or_create_gate_key(state_dir: Path) -> Ed25519Signer:
    """Return the workspace's signing key, making it at the very first use.

    Raises:
        StateError: ``KEY_MISSING`` if there is a database but no key; ``KEY_UNSAFE`` for a key that others can
            read, or that is a symbolic link.
        InputError: ``KEY_MALFORMED``.
    """
    path = state_dir / GATE_KEY
    if not os.path.lexists(path):
        if any(os.path.lexists(state_dir / name) for name in (CREATED_MARK, DATABASE_NAME)):
            raise _key_missing(state_dir)
        if private_directory(path.parent):
            sync_directory(state_dir)
        with contextlib.suppress(FileExistsError):  # another process was first; its key is the one
            write_private_key(path, Ed25519Signer.generate())
    return load_gate_key(state_dir)


def load_gate_key(state_dir: Path) -> Ed25519Signer:
    """Return the workspace's signing key, which must exist.

    Raises:
        StateError: ``KEY_MISSING``, ``KEY_UNSAFE``.
        InputError: ``KEY_MALFORMED``.
    """
    if not os.path.lexists(state_dir / GATE_KEY):
        raise _key_missing(state_dir)
    return load_private_key(state_dir / GATE_KEY, instead=start_anew(state_dir))


def _key_missing(state_dir: Path) -> StateError:
    return StateError(
        "KEY_MISSING",
        f"{state_dir / GATE_KEY} is gone, but there is a database that was signed with it",
        f"Restore the key from a backup. {start_anew(state_dir)}",
    )


def write_private_key(path: Path, signer: Ed25519Signer) -> None:
    """Write a new private key file, 0600, durably and all at once.

    Raises:
        FileExistsError: there is something at ``path``; it is not touched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_new(temporary, signer.to_pem(), 0o600)
        os.link(temporary, path, follow_symlinks=False)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def load_private_key(
    path: Path, *, instead: str = "Without one: `lonelycat approver new NAME --out FILE`."
) -> Ed25519Signer:
    """Read a private key file that only its owner can read.

    Args:
        instead: what to do about one that is damaged and not in any backup, a sentence.

    Raises:
        StateError: ``KEY_UNREADABLE`` or ``KEY_UNSAFE``.
        InputError: ``KEY_MALFORMED``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(
            "KEY_UNREADABLE",
            f"cannot open the key {path}: {error.strerror}",
            "Check that it exists, is no symbolic link and is yours.",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o077:
            raise StateError(
                "KEY_UNSAFE", f"the key {path} is not a file that only its owner can read", f"chmod 600 {path}"
            )
        try:
            return Ed25519Signer.from_pem(file.read(_MAX_KEY_BYTES))
        except InputError as error:
            message = error.message.replace("the file", str(path), 1)
            raise InputError(error.code, message, f"Restore it from a backup. {instead}") from None


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        sync_file(descriptor)
