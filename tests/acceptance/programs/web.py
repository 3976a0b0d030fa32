"""A small real service: answers with the state that it read from its file when it started, 500 when that is sick."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

STATE = Path(sys.argv[2]).read_text(encoding="utf-8").strip()


class Handler(BaseHTTPRequestHandler):
    """Answers every request alike."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(500 if STATE == "sick" else 200)
        self.end_headers()
        self.wfile.write(STATE.encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
