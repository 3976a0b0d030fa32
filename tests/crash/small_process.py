"""Runs a function in a fresh interpreter, so that what it forks is small.

Forking a test runner of hundreds of megabytes and letting the child die costs three times what dying in the middle of
a transaction is about: the page tables are copied and thrown away again.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_TOP = Path(__file__).parents[2]


def in_small_process(function: Callable[..., T], *arguments: object, platform: str) -> T:
    """Return what ``function(*arguments)`` returns, called in a fresh interpreter.

    Args:
        function: of a module that can be imported; it and ``arguments`` are pickled.
        platform: whose calls are used there, see ``tests/platforms.py``.

    Raises:
        AssertionError: with the traceback from there, when it raises.
    """
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.small_process", str(writing), platform],
        stdin=subprocess.PIPE,
        pass_fds=[writing],
        cwd=_TOP,
    ) as process:
        os.close(writing)
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(pickle.dumps((function, arguments)))
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
    assert answer, f"the process ended with {process.returncode} and without a word"
    good, said = pickle.loads(answer)  # noqa: S301 — written by our own child
    if not good:
        raise AssertionError(said)
    return said  # type: ignore[no-any-return]  # what the function returned


def _main() -> None:
    import gc
    import traceback

    from tests.platforms import PLATFORMS

    from lonelycat.executor.filesystem import FileSystem

    writing, platform = int(sys.argv[1]), sys.argv[2]
    os.set_inheritable(writing, False)
    FileSystem.platform = PLATFORMS[platform]()
    try:
        function, arguments = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 — written by our own parent
        gc.freeze()
        said = (True, function(*arguments))
    except BaseException:  # noqa: BLE001 — whatever it is goes to the parent
        said = (False, traceback.format_exc())
    with os.fdopen(writing, "wb") as pipe:
        pickle.dump(said, pipe)


if __name__ == "__main__":
    _main()
