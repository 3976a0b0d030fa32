"""The file system layer without its waits for the disk, which may take seconds where others write to the same disk."""

from __future__ import annotations

from lonelycat.executor.filesystem import FileSystem


class Unsynced(FileSystem):
    """For tests of what processes see, and of time limits; what is durable is another test's."""

    def fsync(self, fd: int) -> None:
        """Leave it to the kernel."""

    def syncfs(self, fd: int) -> None:
        """Leave it to the kernel."""
