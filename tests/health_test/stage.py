"""The shop of the demonstration as a workspace, with nothing of it running: ``health test`` starts its own copy."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from lonelycat.interfaces.demo.pair.policy import services_policy
from lonelycat.interfaces.demo.pair.stage import ServicesStage
from lonelycat.interfaces.demo.performance import governed
from lonelycat.interfaces.demo.scenes import Narrator


@contextlib.contextmanager
def shop(change: Callable[[str], str] = lambda policy: policy) -> Iterator[ServicesStage]:
    """Make the workspace, its policy changed by ``change``; what runs is ended and all of it removed at the end."""
    with tempfile.TemporaryDirectory(prefix="lc-") as name:  # short enough for unix sockets
        before, tempfile.tempdir = tempfile.tempdir, name
        try:
            stage = ServicesStage()
        finally:
            tempfile.tempdir = before

        def policy(public_key: str) -> str:
            return change(services_policy(port=stage.port, run=str(stage.run), public_key=public_key))

        governed(stage, cast(Narrator, None), policy, {"README.md": "# A shop\n"})
        try:
            yield stage
        finally:
            stage.close(keep=False)
    assert not Path(name).exists()
