"""Linux without openat2, as a real seccomp filter makes it."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

import pytest
from tests.platforms import refusing

from lonelycat.executor.filesystem import FileSystem
from lonelycat.platforms.linux import LinuxCalls

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_RET_ERRNO, _RET_ALLOW = 0x00050000, 0x7FFF0000
_OPENAT2 = 437


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _forbid_openat2(libc: ctypes.CDLL, code: int) -> None:
    steps = (
        (_LOAD_NUMBER, 0, 0, 0),
        (_JUMP_IF_EQUAL, 0, 1, _OPENAT2),
        (_RETURN, 0, 0, _RET_ERRNO | code),
        (_RETURN, 0, 0, _RET_ALLOW),
    )
    code_bytes = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code_bytes, len(code_bytes))
    program = _Program(len(steps), ctypes.addressof(buffer))
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_real_filter_that_refuses_openat2_changes_nothing_of_what_is_refused(code: int, tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "link").symlink_to("d")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        told = ""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            _forbid_openat2(libc, code)
            assert libc.syscall(_OPENAT2, 0, b".", None, 0) == -1 and ctypes.get_errno() == code
            fs = FileSystem()
            root = fs.open_root(tmp_path)
            assert os.path.samestat(os.fstat(fs.open_beneath(root, "d/e")), (tmp_path / "d/e").stat())
            for path, wanted in (("link/e", errno.ELOOP), ("../x", errno.EXDEV), ("absent", errno.ENOENT)):
                with pytest.raises(OSError) as caught:
                    fs.open_beneath(root, path)
                assert caught.value.errno == wanted
        except BaseException as error:  # noqa: BLE001 (the parent asserts on it)
            told = f"{error!r}"
        os.write(write, told.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == ""
    os.waitpid(child, 0)


def test_other_failures_of_openat2_do_not_fall_back_to_the_walk(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    root = os.open(tmp_path, os.O_RDONLY)
    for code in (errno.EACCES, errno.EMFILE, errno.EIO, errno.EINVAL):
        with pytest.raises(OSError) as caught:
            LinuxCalls(syscall=refusing(code)).open_beneath(root, "d")
        assert caught.value.errno == code
    os.close(root)


def test_a_race_is_tried_again_and_not_for_ever(tmp_path: Path) -> None:
    calls = 0
    (tmp_path / "d").mkdir()
    root = os.open(tmp_path, os.O_RDONLY)
    real = ctypes.CDLL(None, use_errno=True).syscall

    def racing(*arguments: object) -> int:
        nonlocal calls
        calls += 1
        if calls < 10 or never:
            ctypes.set_errno(errno.EAGAIN)
            return -1
        return int(real(*arguments))

    never = False
    os.close(LinuxCalls(syscall=racing).open_beneath(root, "d"))
    assert calls == 10
    never = True
    with pytest.raises(BlockingIOError):
        LinuxCalls(syscall=racing).open_beneath(root, "d")
    os.close(root)
