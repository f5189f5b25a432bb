"""The gate before a dashboard, with a real server behind it that repeats what it is sent."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optim.serve.gate import Gate, gate
from optim.serve.optuna_page import SocketServer

TOKEN = "the-token-of-this-test"
LARGE = bytes(range(256)) * 20_000


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def repeat(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    told = [(f"X-{name[5:].title()}", value) for name, value in environ.items() if name.startswith("HTTP_")]
    start_response("200 OK", [("X-Method", environ["REQUEST_METHOD"]), *told])
    half = len(body) // 2
    return [body[:half], body[half:], b"" if environ["PATH_INFO"] != "/large" else LARGE]


@pytest.fixture(scope="module", params=[False, True], ids=["reading", "writing"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    behind: Path = tmp_path_factory.mktemp("gate") / "socket"
    with SocketServer(str(behind), Quiet) as server:  # type: ignore[arg-type]
        server.set_app(repeat)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with gate(behind, 0, TOKEN, write=request.param) as found:
            yield found
        server.shutdown()
        thread.join()


def ask(to: Gate, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", to.server_port, timeout=30)
    named = {"Cookie": f"other=1; {to.cookie}={TOKEN}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    return answer, answer.read()


def test_large_bodies_pass_whole_both_ways(opened: Gate) -> None:
    answer, body = ask(opened, "POST", "/graphql", LARGE)
    assert (answer.status, body) == (200, LARGE)
    answer, body = ask(opened, "GET", "/large")
    assert (answer.status, body) == (200, LARGE)


def test_what_is_passed_on(opened: Gate) -> None:
    """The address as the browser has it; no cookie, which holds the token."""
    answer, _ = ask(opened, "GET", "/a?b=c", Accept="text/x", Upgrade="websocket")
    assert (answer.headers["X-Host"], answer.headers["X-Accept"]) == (f"127.0.0.1:{opened.server_port}", "text/x")
    assert answer.headers["X-Cookie"] is None
    assert answer.headers["X-Upgrade"] is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_for_all(method: str, opened: Gate) -> None:
    answer, _ = ask(opened, method, "/x")
    assert (answer.status, answer.headers["X-Method"]) == (200, method)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_writing_is_for_those_who_asked_for_it(method: str, opened: Gate) -> None:
    answer, _ = ask(opened, method, "/x", b"1")
    assert answer.status == (200 if opened.write else 403)


def test_methods_nobody_knows_are_not_passed_on(opened: Gate) -> None:
    for method in ("TRACE", "CONNECT", "get", "PROPFIND"):
        assert ask(opened, method, "/x")[0].status == 501


@given(st.text(st.characters(codec="latin-1", exclude_categories=("C",)), max_size=40))
def test_no_other_token_lets_in(opened: Gate, text: str) -> None:
    if text.strip() != TOKEN:
        assert ask(opened, "GET", "/x", Cookie=f"{opened.cookie}={text}")[0].status == 403


def test_a_request_whose_length_is_uncertain_is_refused(opened: Gate) -> None:
    assert ask(opened, "GET", "/x", Transfer_Encoding="chunked")[0].status == 403
    assert ask(opened, "GET", "/x", Content_Length="-1")[0].status == 403
    assert ask(opened, "GET", "http://evil.example/x")[0].status == 403


def test_the_token_leaves_the_address_and_the_rest_stays(opened: Gate) -> None:
    answer, _ = ask(opened, "GET", f"/x/y?a=1&token={TOKEN}&b=%26", Cookie="")
    assert (answer.status, answer.headers["Location"]) == (303, "/x/y?a=1&b=%26")
    assert answer.headers["Set-Cookie"] == f"{opened.cookie}={TOKEN}; Path=/; HttpOnly; SameSite=Strict"


def test_what_is_settled_goes_into_the_pages_storage_and_the_way_goes_on(tmp_path: Path) -> None:
    with gate(tmp_path / "nobody", 0, TOKEN, write=False, settled={"pane": "</script>"}) as settling:
        answer, page = ask(settling, "GET", f"/x</script><b>?token={TOKEN}&a=1", Cookie="")
    assert answer.status == 200
    assert answer.headers["Set-Cookie"] == f"{settling.cookie}={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    assert page.count(b"</") == 2  # of title and script: nothing else ends one
    assert rb'{"pane": "\u003c/script>"}' in page
    assert rb'location.replace("/x\u003c/script>\u003cb>?a=1" + location.hash)' in page
    assert TOKEN.encode() not in page


def test_a_taken_port_is_no_obstacle(opened: Gate, tmp_path: Path) -> None:
    with gate(tmp_path / "nobody", opened.server_port, TOKEN, write=False) as other:
        assert other.server_port != opened.server_port
        answer, said = ask(other, "GET", "/x")
        assert (answer.status, said) == (502, b"The dashboard does not answer.\n")
