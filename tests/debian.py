"""Programs that tests need and Python cannot bring: taken from the system, else installed from Debian.

Invariants:
- With ``CI`` set nothing is skipped: what is missing is installed, or the test fails and says what to install.
- Without it, and without the right to install, the test is skipped with the reason.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

_PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def program(name: str, package: str) -> str:
    """Return the path of ``name``, installing the Debian package that has it where it is missing."""
    found = shutil.which(name, path=_PLACES)
    if found is None:
        _install(name, package)
        found = shutil.which(name, path=_PLACES)
    if found is None:
        unable(f"the Debian package {package} was installed and brought no {name}")
    return found


def need_root(what: str) -> None:
    """Go on only as root, which ``what`` takes."""
    if os.geteuid() != 0:
        unable(f"{what} takes root; run the tests as root, in a container or a virtual machine")


def unable(why: str) -> NoReturn:
    """End the test: as failed with ``CI`` set, where nothing may be skipped, else as skipped."""
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def _install(name: str, package: str) -> None:
    apt = shutil.which("apt-get", path=_PLACES)
    if apt is None or os.geteuid() != 0:
        unable(f"{name} is missing; install it (Debian: apt-get install {package})")
    with Path(__file__).open("rb") as one_at_a_time:  # several workers may miss it at the same time
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if shutil.which(name, path=_PLACES) is not None:
            return
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            done = subprocess.run([apt, "-qq", *arguments], env=environment, check=False, capture_output=True)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace")[-500:]
            unable(f"{name} is missing, and apt-get install {package} failed: {said}")
