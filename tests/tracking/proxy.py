"""A proxy on 127.0.0.1 in front of a real MLflow server that goes wrong on request."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PASS, FAIL, FAIL_AFTERWARDS, DROP = "pass", "500", "500 although it worked", "connection closed"


class FaultyProxy(ThreadingHTTPServer):
    """`fault(path, count)` names what becomes of the count-th request; `open_gate` clear holds every request back."""

    daemon_threads = True

    def __init__(self, upstream: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.fault: Callable[[str, int], str] = lambda path, count: PASS
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()  # a request is being held back
        self.delay = 0.0  # seconds that every request takes longer
        self.answered = threading.Event()
        self.count = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the test."""


@contextmanager
def faulty(upstream: str, port: int = 0) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(upstream, port)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.gate.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FaultyProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.count += 1
            what = self.server.fault(self.path, self.server.count)
        if not self.server.gate.is_set():
            self.server.waiting.set()
            self.server.gate.wait()
        time.sleep(self.server.delay)
        if what == DROP:
            self.close_connection = True
            return
        if what == FAIL:
            self._answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "injected"}', "application/json")
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
            upstream.request(self.command, self.path, body, headers | {"Connection": "close"})
            response = upstream.getresponse()
            content, kind = response.read(), response.headers.get("Content-Type", "")
        finally:
            upstream.close()
        if what == FAIL_AFTERWARDS:
            self._answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "injected"}', "application/json")
        else:
            self._answer(response.status, content, kind)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names http.server calls

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.answered.set()

    def log_message(self, *args: object) -> None:
        """Silent."""
