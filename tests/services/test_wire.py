"""One request: its deadline, and what is certain about it."""

import socket
import threading
import time
from typing import Any

import pytest

from services.esp import EspError, InDoubt, Misconfigured, Unavailable
from services.wire import Answer, Wire, begin, tls_context
from tests.services.scripted_server import Peer, ScriptedServer, answering

BODY = b"x" * 1000
LARGE = b"x" * 20_000_000


def post(url: str, body: bytes = BODY, seconds: float = 2.0) -> Answer | EspError:
    wire = Wire(url, seconds)
    return begin(lambda: wire.request("POST", "/p", {"A": "b"}, body), seconds).answer()


def ok(peer: Peer) -> None:
    peer.note()
    peer.answer(200, b"fine", X_Name="value")


def test_an_answer_is_an_answer_whatever_its_status() -> None:
    for status in (200, 302, 404, 500):
        with ScriptedServer(answering(status, b"fine")) as server:
            answer = post(server.url)
            assert isinstance(answer, Answer)
            assert (answer.status, answer.body) == (status, b"fine")
            assert len(server.seen) == 1  # no redirect was followed


def test_names_of_headers_are_lower_case() -> None:
    with ScriptedServer(ok) as server:
        answer = post(server.url)
        assert isinstance(answer, Answer)
        assert answer.headers["x-name"] == "value"
        assert server.seen[0].headers["a"] == "b"


def test_a_connection_is_used_again_while_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(ok) as server:
        wire = Wire(server.url, 2)
        for _ in range(3):
            wire.request("POST", "/", {}, BODY)
        assert server.connections == 1
        monkeypatch.setattr("services.wire.IDLE_SECONDS", -1)
        wire.request("POST", "/", {}, BODY)
        assert server.connections == 2


def test_a_connection_that_the_far_end_closed_is_not_used_again() -> None:
    def once(peer: Peer) -> None:
        peer.note()
        peer.answer(200)
        peer.close()

    with ScriptedServer(once) as server:
        wire = Wire(server.url, 2)
        for _ in range(5):
            assert wire.request("POST", "/", {}, BODY).status == 200
            time.sleep(0.02)
        assert len(server.seen) == 5


def drip(peer: Peer) -> None:
    peer.note()
    peer.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0.05)


def silent(peer: Peer) -> None:
    peer.note()
    time.sleep(3)


def reset(peer: Peer) -> None:
    peer.note()
    peer.reset()


def junk(peer: Peer) -> None:
    peer.note()
    peer.connection.sendall(b"SSH-2.0-nobody\r\n\r\n")
    peer.close()


@pytest.mark.parametrize("script", [drip, silent, reset, junk])
def test_a_request_that_left_whole_is_in_doubt(script: Any) -> None:
    with ScriptedServer(script) as server:
        began = time.monotonic()
        assert isinstance(post(server.url, seconds=0.5), InDoubt)
        assert time.monotonic() - began < 0.8
        assert len(server.seen) == 1


def test_a_request_that_stalls_half_written_is_certain() -> None:
    with ScriptedServer(lambda peer: time.sleep(3)) as server:  # noqa: ARG005
        assert isinstance(post(server.url, LARGE, seconds=0.5), Unavailable)


def test_a_connection_that_is_never_accepted_is_certain() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        assert isinstance(post(url, seconds=0.5), Unavailable)
        for one in waiting:
            one.close()


def test_a_far_end_without_tls_is_certain() -> None:
    with ScriptedServer(ok) as server:
        assert isinstance(post(server.url.replace("http:", "https:"), seconds=1), Unavailable)
        assert not server.seen


def test_an_early_refusal_is_read_though_the_body_was_not() -> None:
    def refuse(peer: Peer) -> None:
        peer.answer(413, b"too large")
        peer.connection.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        peer.close()

    with ScriptedServer(refuse) as server:
        answer = post(server.url, LARGE)
    assert isinstance(answer, Answer | Unavailable)  # the reset may overtake the answer
    assert not isinstance(answer, Answer) or answer.status == 413


def test_after_giving_up_nothing_is_written_any_more() -> None:
    """A name server that takes longer than the deadline must not let the request leave late."""
    with ScriptedServer(ok) as server:
        wire = Wire(server.url, 5)
        resolved = threading.Event()

        def late() -> Answer:
            resolved.wait(5)
            return wire.request("POST", "/", {}, BODY)

        exchange = begin(late, 0.1)
        assert isinstance(exchange.answer(), Unavailable)
        resolved.set()
        time.sleep(0.3)
        assert not server.seen


def test_what_an_adapter_says_before_writing_is_passed_on() -> None:
    def no_key() -> Answer:
        raise Misconfigured("no key")

    assert isinstance(begin(no_key, 1).answer(), Misconfigured)


def test_an_endless_answer_is_not_kept() -> None:
    def endless(peer: Peer) -> None:
        peer.note()
        peer.answer(200, b"x" * 9_000_000)

    with ScriptedServer(endless) as server:
        answer = post(server.url, seconds=5)
    assert isinstance(answer, Answer)
    assert answer.body == b""


def test_certificates_are_checked() -> None:
    assert tls_context().check_hostname
    assert tls_context().get_ca_certs()


def test_the_deadline_is_cheap() -> None:
    answer = Answer(200, {}, b"")
    count = 2000
    began = time.process_time()
    for _ in range(count):
        begin(lambda: answer, 5).answer()
    assert (time.process_time() - began) / count < 500e-6  # about 30 us on a quiet machine
