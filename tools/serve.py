"""Serve the built site on this machine alone: python -m tools.serve [--port N] [--no-open]"""

from __future__ import annotations

import argparse
import functools
import sys
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tools.sources import SITE


class Handler(SimpleHTTPRequestHandler):
    """A quiet file server that never lets a browser show an old page."""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def server(
    folder: Path, port: int = 0, handler: type[SimpleHTTPRequestHandler] = Handler
) -> ThreadingHTTPServer:
    """A server of ``folder`` on 127.0.0.1; port 0 takes any free one."""
    return ThreadingHTTPServer(
        ("127.0.0.1", port), functools.partial(handler, directory=str(folder))
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--no-open", action="store_true", help="open no browser")
    options = parser.parse_args(arguments)
    if not (SITE / "index.html").is_file():
        print(f"There is no site in {SITE} yet: run `make book` first.", file=sys.stderr)
        return 1
    try:
        http = server(SITE, options.port)
    except OSError as error:
        print(
            f"Port {options.port} cannot be used ({error.strerror}): choose another one, "
            "for example `make serve PORT=8123`.",
            file=sys.stderr,
        )
        return 1
    address = f"http://127.0.0.1:{http.server_port}/"
    print(f"The book is at {address} (stop with Ctrl-C).", flush=True)
    if not options.no_open:
        webbrowser.open(address)
    try:
        http.serve_forever()
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
