"""The service against a hostile outside: slow clients, requests that are none, a dead simulator."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from boot.clients import HEAD_SECONDS, STATUS
from boot.serving import THREADS
from tests.application import FULL
from tests.running import Running

pytestmark = pytest.mark.xdist_group("boot-clients")
KEY = f"Authorization: Bearer {FULL}\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("clients")) as running:
        running.wait_for("Stop: Ctrl-C")
        yield running


def exchange(service: Running, told: str, *, ends: bool = False) -> tuple[str, dict[str, str], str]:
    """Status line, headers and body of the answer to these very bytes."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(told.encode())
        if ends:
            client.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: client.recv(65_536), b"")).decode()
    head, _, body = got.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return status, headers, body


@pytest.mark.parametrize(
    "told,status",
    [
        ("GARBAGE\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nX-A: \x01\r\n\r\n", 400),
        (f"GET /unsubscribe/{'a' * 5000} HTTP/1.1\r\n\r\n", 414),
        (f"GET /health HTTP/1.1\r\nX-A: {'a' * 20_000}\r\n\r\n", 431),
        ("POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
    ],
)
def test_what_is_no_http_is_answered_as_everything_is(
    service: Running, told: str, status: int
) -> None:
    line, headers, body = exchange(service, told)
    assert f" {status} " in line
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-mode"] == "sandbox"
    assert json.loads(body)["status"] == status
    assert "aaaa" not in body
    assert "aaaa" not in service.text


def test_the_words_of_every_refusal_are_http(service: Running) -> None:
    assert all(400 <= status < 600 and title for status, title in STATUS.values())


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: 500\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n40\r\n",
     "Transfer-Encoding: chunked\r\n\r\n27\r\n"],
)  # fmt: skip
def test_an_upload_that_breaks_off_brings_in_no_half_address(
    service: Running, framing: str
) -> None:
    head = f"POST /subscribers/import HTTP/1.1\r\nHost: x\r\n{KEY}Content-Type: text/csv\r\n"
    line, headers, body = exchange(
        service, f"{head}{framing}email\nwhole@example.com\nhalf@example.co", ends=True
    )
    assert " 400 " in line
    assert headers["content-type"] == "application/problem+json"
    assert "whole" in json.loads(body)["detail"]
    assert service.ask("/subscribers/half@example.co")[0] == 404


def test_a_body_that_breaks_off_changes_nothing(service: Running) -> None:
    head = f"POST /subscribers HTTP/1.1\r\nHost: x\r\n{KEY}Content-Type: application/json\r\n"
    line, _, _ = exchange(
        service, f'{head}Content-Length: 500\r\n\r\n{{"email": "cut@example.com"}}', ends=True
    )
    assert " 400 " in line
    assert service.ask("/subscribers/cut@example.com")[0] == 404


def test_slow_clients_hold_no_thread_for_long(service: Running) -> None:
    with ExitStack() as held:
        for text in ("", "GET /health HTTP/1.1\r\nX-"):
            for _ in range(THREADS):
                address = ("127.0.0.1", service.port)
                held.enter_context(socket.create_connection(address)).sendall(text.encode())
        time.sleep(0.5)
        began = time.monotonic()
        assert service.ask("/health")[0] == 200
        assert time.monotonic() - began < HEAD_SECONDS + 4


@pytest.mark.parametrize("path", ["/subscribers", "/subscribers/import"])
def test_a_slow_body_does_not_delay_the_end(tmp_path: Path, path: str) -> None:
    with Running(tmp_path, WORKER="off") as service:
        service.wait_for("Stop: Ctrl-C")
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            head = f"POST {path} HTTP/1.1\r\n{KEY}Content-Type: application/json\r\n"
            client.sendall(f"{head}Content-Length: 500\r\n\r\n{{".encode())
            time.sleep(0.5)
            began = time.monotonic()
            assert service.stop(signal.SIGTERM) == 0
            assert time.monotonic() - began < 25


def test_a_simulator_that_dies_is_started_again_with_its_mailbox(service: Running) -> None:
    found = subprocess.run(
        ["pgrep", "-P", str(service.process.pid), "-f", "simulator --port"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    os.kill(int(found[0]), signal.SIGKILL)
    service.wait_for("the simulator ended by itself")
    end = time.monotonic() + 15
    while service.ask("/sandbox/messages")[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
