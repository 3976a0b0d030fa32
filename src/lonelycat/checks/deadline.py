"""Acts when a time is over, whatever the block that it holds for is doing then.

Invariant: once the block is left nothing acts any more: either it was too late to, or it is done.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def when_over(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` in a thread of its own after ``seconds``, unless the block has ended by then."""
    timer = threading.Timer(max(0.0, seconds), act)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
