"""The calls that every supported system must offer, each with one meaning and the same errno for the same mistake.

Names are single components below directory descriptors. All of them raise :class:`OSError`.
"""

from __future__ import annotations

from typing import Protocol


class PlatformCalls(Protocol):
    """One operating system."""

    @property
    def syncs_whole(self) -> bool:
        """Whether :meth:`syncfs` makes a whole file system durable; otherwise each file is handed over by itself."""

    def open_beneath(self, root: int, path: str) -> int:
        """Open a directory below ``root``: ELOOP for a link on the way, ENOTDIR for a last one, EXDEV for a way out."""

    def open(self, name: str, flags: int, *, dir_fd: int) -> int:
        """Open an existing file: ELOOP for a link, ENXIO for a socket."""

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Rename atomically to a name that does not exist: EEXIST if it does."""

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Swap two names atomically: ENOENT unless both exist."""

    def unlink(self, name: str, *, dir_fd: int) -> None:
        """Remove a name: EISDIR for a directory."""

    def allocate(self, fd: int, size: int) -> None:
        """Make the first ``size`` bytes of an empty file take their space: ENOSPC if there is none."""

    def spread(self, directory: int) -> None:
        """Give the file system the hint of ``FileSystem.spread``, where it takes one."""

    def hand_over(self, fd: int) -> None:
        """Hand a file or directory to the drive, which may still hold it in its own memory; fsync(2)."""

    def fsync(self, fd: int) -> None:
        """Make a file or directory durable, and all that was handed to the same drive before it."""

    def syncfs(self, fd: int) -> None:
        """Make the whole file system of ``fd`` durable: ENOSYS where :attr:`syncs_whole` is false."""

    def list_attributes(self, fd: int) -> list[str]:
        """Return the names of the extended attributes: ENOTSUP where there are none."""

    def get_attribute(self, fd: int, name: str) -> bytes:
        """Return an extended attribute's value."""

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        """Set an extended attribute."""

    def keeps_attribute(self, name: str) -> bool:
        """Whether a new version of a file gets this extended attribute of the old one."""

    def give_back_memory(self) -> None:
        """Return to the system what this process has freed and its allocator holds back, where that can be asked."""

    def is_remote(self, fd: int) -> bool:
        """Whether other hosts may reach the file system of ``fd`` too, and not see a lock that is taken here."""

    def umask(self) -> int:
        """Return the process's umask without setting it, which would race with other threads; 0o077 if unknown."""
