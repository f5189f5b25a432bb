"""A gate before a dashboard: only who holds the token comes in, under this address alone, and only to read.

A dashboard answers whoever asks. Any page in the same browser could ask by a name that leads to 127.0.0.1 (DNS
rebinding), any user of the machine by its port. So the dashboard listens on a Unix socket in a folder of this user's,
and the gate on a port of 127.0.0.1 passes on what names the gate's own address and has the token.
"""

from __future__ import annotations

import contextlib
import hmac
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

HOST = "127.0.0.1"
_READING = ("GET", "HEAD", "OPTIONS")
_READING_POSTS = frozenset(
    ["/graphql"]  # MLflow 3.17 has queries there only, and searches that it calls mutations
    + [f"/ajax-api/2.0/mlflow/{name}/search" for name in ("experiments", "runs", "logged-models")]
    + [f"/ajax-api/3.0/mlflow/{name}/search" for name in ("traces", "datasets", "issues")]
    + ["/ajax-api/2.0/mlflow/experiments/search-datasets", "/ajax-api/2.0/mlflow/registered-models/get-latest-versions"]
    + [f"/ajax-api/3.0/mlflow/traces/{name}" for name in ("batchGetInfos", "metrics", "calculate-filter-correlation")]
)
_OF_ONE_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade"}
_OF_ONE_HOP |= {"transfer-encoding", "host", "content-length", "cookie", "expect", "date", "server"}
_PIECE = 65536
_ANSWER_SECONDS = 300.0


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__(HOST, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket; OSError when nobody listens there."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Gate(ThreadingHTTPServer):
    """Listens on a port of 127.0.0.1 (another one if `port` is taken) and passes on to the socket `behind`."""

    daemon_threads = True

    def __init__(self, behind: Path, port: int, token: str, *, write: bool, settled: Mapping[str, str]) -> None:
        self.behind, self.token, self.write, self.settled = behind, token, write, settled
        try:
            super().__init__((HOST, port), _Passage)
        except OSError:
            super().__init__((HOST, 0), _Passage)
        self.url = f"http://{HOST}:{self.server_port}"
        self.cookie = f"optim_{self.server_port}"  # a cookie is for all ports of a host
        self.hosts = [f"{name}:{self.server_port}" for name in (HOST, "localhost")]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves early is no news."""


@contextlib.contextmanager
def gate(
    behind: Path, port: int, token: str, *, write: bool, settled: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Gate]:
    """A gate at work until left. settled: what the dashboard's page finds in the browser's local storage."""
    with Gate(behind, port, token, write=write, settled=settled) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Passage(BaseHTTPRequestHandler):
    """One request; the connection ends with its answer."""

    server: Gate
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has in the library
        """Nothing is logged: addresses hold the token."""

    def _pass(self) -> None:
        self.close_connection = True
        if reason := self._refused():
            self._say(403, f"{reason}\n")
        elif self._is_login():
            self._log_in()
        else:
            self._forward()

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 - the library's names

    def _refused(self) -> str:
        """Why this request is not passed on; "" if it is."""
        server, headers = self.server, self.headers
        if headers.get_all("Host") not in [[host] for host in server.hosts]:
            return "This address is not the gate's."
        if not self.path.startswith("/") or self.path.startswith("//"):
            return "This is no path."
        origins = [f"http://{host}" for host in server.hosts]
        if any(origin not in origins for origin in headers.get_all("Origin", [])):
            return "Another page may not ask."
        given = [*self._tokens_in_address(), *self._tokens_in_cookies()]
        if not any(hmac.compare_digest(one.encode(), server.token.encode()) for one in given):
            return "Open the link that `optim ui` has printed."
        reads = self.command in _READING or (self.command == "POST" and urlsplit(self.path).path in _READING_POSTS)
        if not (reads or server.write):
            return "The dashboards only show; `optim ui --write` lets them change things."
        if headers.get("Transfer-Encoding") or not re.fullmatch(r"\d{0,18}", headers.get("Content-Length", "")):
            return "The length of the request is not said."
        return ""

    def _tokens_in_address(self) -> list[str]:
        return [value for name, value in parse_qsl(urlsplit(self.path).query) if name == "token"]

    def _tokens_in_cookies(self) -> list[str]:
        cookies: SimpleCookie = SimpleCookie()
        for header in self.headers.get_all("Cookie", []):
            with contextlib.suppress(CookieError):
                cookies.load(header)
        return [cookies[self.server.cookie].value] if self.server.cookie in cookies else []

    def _is_login(self) -> bool:
        return self.command == "GET" and bool(self._tokens_in_address())

    def _log_in(self) -> None:
        """The token becomes a cookie that no script reads, and leaves the address; what is behind the # stays.

        Only a page of the same address can put something into its local storage: where there is something to put, the
        answer is such a page, which then goes where the redirection would have.
        """
        parts = urlsplit(self.path)
        rest = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name != "token"])
        target = parts.path + (f"?{rest}" if rest else "")
        cookie = {"Set-Cookie": f"{self.server.cookie}={self.server.token}; Path=/; HttpOnly; SameSite=Strict"}
        if not self.server.settled:
            self.send_response(303)
            self._end({"Location": target, "Content-Length": "0"} | cookie)
            return
        page = _settling(self.server.settled, target)
        self.send_response(200)
        self._end({"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(page))} | cookie)
        self.wfile.write(page)

    def _forward(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
        sent |= {"Host": self.headers["Host"], "Connection": "close"}
        if length or self.command not in _READING:
            sent["Content-Length"] = str(length)
        connection = SocketConnection(self.server.behind, _ANSWER_SECONDS)
        try:
            connection.request(self.command, self.path, self._body(length) if length else None, sent)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._say(502, "The dashboard does not answer.\n")
            return
        with contextlib.closing(connection):
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _OF_ONE_HOP:
                    self.send_header(name, value)
            size = answer.getheader("Content-Length")
            self._end({"Content-Length": size} if size is not None else {})
            while piece := answer.read1(_PIECE):
                self.wfile.write(piece)

    def _body(self, length: int) -> Iterator[bytes]:
        while length > 0 and (piece := self.rfile.read1(min(length, _PIECE))):
            length -= len(piece)
            yield piece

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        data = text.encode()
        self._end({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(data))})
        if self.command != "HEAD":
            self.wfile.write(data)

    def _end(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()


def _settling(settled: Mapping[str, str], target: str) -> bytes:
    """A page that settles this in the local storage and goes on to a path of this address."""
    items, where = (json.dumps(value).replace("<", "\\u003c") for value in (dict(settled), target))
    script = (
        f"for (const [key, value] of Object.entries({items})) localStorage.setItem(key, value);"
        f"location.replace({where} + location.hash);"
    )
    return f"<!doctype html><title>optim</title><script>{script}</script>".encode()
