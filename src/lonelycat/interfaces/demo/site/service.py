"""The demonstration's web service: ``python service.py PORT``; answers with what ``pages.py`` says."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import pages  # type: ignore[import-not-found]  # noqa: E402 (lies beside this file once it is copied)


class Answers(BaseHTTPRequestHandler):
    """Hands each request to ``pages.answer``."""

    def do_GET(self) -> None:
        """Answer with a status and a text."""
        status, text = pages.answer(self.path)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
