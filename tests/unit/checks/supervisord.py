"""A real supervisord for tests, with programs of small Python texts."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

WAITING = "import time; time.sleep(600)"


@contextlib.contextmanager
def supervisord(
    directory: Path, programs: Mapping[str, str], *, settings: str = "", password: str | None = None
) -> Iterator[Path]:
    """Run supervisord with ``programs`` (name to Python text) until the block ends; yields its socket.

    Args:
        settings: more lines for every program.
        password: what the user ``cat`` has to give.
    """
    socket, configuration = directory / "s.sock", directory / "supervisord.conf"
    lines = [
        "[supervisord]", f"logfile={directory}/supervisord.log", f"pidfile={directory}/supervisord.pid",
        "nodaemon=true",
        "[unix_http_server]", f"file={socket}", *([f"username=cat\npassword={password}"] if password else []),
        "[rpcinterface:supervisor]", "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]  # fmt: skip
    for name, text in programs.items():
        (directory / f"{name}.py").write_text(text)
        # Without site: what measures coverage takes SIGTERM over, and one that comes while it starts is lost.
        lines += [
            f"[program:{name}]", f"command={sys.executable} -S {directory}/{name}.py", "startsecs=1", "startretries=0",
            "autorestart=false", f"stderr_logfile={directory}/{name}.err", f"stdout_logfile={directory}/{name}.out",
            settings,
        ]  # fmt: skip
    configuration.write_text("\n".join(lines))
    process = subprocess.Popen([str(Path(sys.executable).with_name("supervisord")), "-c", str(configuration)],
                               cwd=directory, stdout=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    try:
        until = time.monotonic() + 20
        while not socket.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        assert socket.exists(), (directory / "supervisord.log").read_text()
        yield socket
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()
