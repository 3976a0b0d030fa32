"""A real Prometheus, from Debian."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.debian import program
from tests.servers.running import free_port, running


@contextlib.contextmanager
def prometheus(directory: Path, target_port: int) -> Iterator[str]:
    """Run a Prometheus that scrapes itself and ``target_port``; yields its URL once it has seen both."""
    directory.mkdir(exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    configuration = directory / "prometheus.yml"
    configuration.write_text(
        f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: itself
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: service
    static_configs: [{{targets: ["127.0.0.1:{target_port}"]}}]
"""
    )
    argv = [program("prometheus", "prometheus"), f"--config.file={configuration}",
            f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={directory}/data"]  # fmt: skip

    def scraped() -> bool:
        query = urllib.parse.urlencode({"query": "sum(up)"})
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=2) as answer:  # noqa: S310
                result = json.load(answer)["data"]["result"]
        except OSError:
            return False
        return bool(result) and result[0]["value"][1] == "2"

    with running(argv, scraped, directory / "log"):
        yield url
