"""What differs between operating systems below the executor, chosen by ``sys.platform`` in one place.

Invariant: a system on which a promise cannot be kept is refused before anything is opened, by a typed error; no call is
replaced by a weaker one of the same name. What each system guarantees: docs/guarantees.md, "Platforms".
"""

from __future__ import annotations

import sys
from functools import cache

from lonelycat.errors import RefusedError
from lonelycat.platforms.interface import PlatformCalls

_UNSUPPORTED = "PLATFORM_UNSUPPORTED"


@cache
def native_calls(platform: str = sys.platform) -> PlatformCalls:
    """Return the calls of the system that this process runs on.

    Args:
        platform: in ``sys.platform``'s terms.

    Raises:
        RefusedError: ``PLATFORM_UNSUPPORTED``.
    """
    if platform == "linux":
        from lonelycat.platforms.linux import LinuxCalls

        return LinuxCalls()
    if platform == "darwin":
        from lonelycat.platforms.macos import MacCalls

        return MacCalls()
    if platform in ("win32", "cygwin"):
        raise RefusedError(
            _UNSUPPORTED,
            "LonelyCat cannot change files safely on Windows: it has no directory descriptors and no exchange of names",
            "Run it in WSL2, on a workspace that lies in the Linux file system there (not below /mnt).",
        )
    raise RefusedError(
        _UNSUPPORTED,
        f"LonelyCat does not know how to change files safely on {platform}",
        "Run it on Linux, or on macOS within the limits that docs/guarantees.md states.",
    )
