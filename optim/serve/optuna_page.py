"""Optuna's dashboard on a Unix socket: `python -P optuna_page.py SOCKET`, the storage in OPTIM_STORAGE.

A program of its own, started by `optim ui`; it imports nothing of optim.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class SocketServer(WSGIServer):
    """The server that Optuna's dashboard uses anyway, at a path instead of a port."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        """Bind to the path; there is no name and no port to find out."""
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        """A caller has no address either."""
        return self.socket.accept()[0], ("127.0.0.1", 0)


def main() -> None:
    """Serve until killed."""
    from optuna_dashboard import wsgi

    with SocketServer(sys.argv[1], WSGIRequestHandler) as server:  # type: ignore[arg-type]
        server.set_app(wsgi(os.environ["OPTIM_STORAGE"]))
        server.serve_forever()


if __name__ == "__main__":
    main()
