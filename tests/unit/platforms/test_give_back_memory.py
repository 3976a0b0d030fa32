"""What was freed in the middle of the heap goes back to the system; where the C library cannot, nothing happens."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lonelycat.platforms.linux import LinuxCalls

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
FREES = """
import re
from lonelycat.platforms import native_calls

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])

calls = native_calls()
contents = [bytes([number % 256]) * 1400 for number in range(30_000)]
last = contents[-1]
del contents
held = resident()
calls.give_back_memory()
print(held - resident())
"""


def test_freed_contents_are_given_back_although_something_lives_behind_them() -> None:
    if LinuxCalls()._malloc_trim is None:
        pytest.skip("this C library has no malloc_trim")
    done = subprocess.run([sys.executable, "-c", FREES], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 20 * 1024  # KiB


def test_a_c_library_that_cannot_is_left_alone() -> None:
    calls = LinuxCalls()
    calls._malloc_trim = None
    calls.give_back_memory()
