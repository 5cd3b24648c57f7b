"""The least that three ESPs can be: takes every message, answers as its vendor does, counts people.

Runs in a process of its own, so that its work is never counted as the client's. It checks nothing:
for limits, faults and refusals there is the simulator. `python -m bench.sink` prints its address.
"""

import asyncio
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

LARGEST_HEAD = 65_536
ROOT = Path(__file__).resolve().parents[1]


class Taken(NamedTuple):
    """What the sink got since it was last asked."""

    recipients: int
    people: int  #: different addresses
    requests: int


class Answer(NamedTuple):
    status: str
    body: bytes
    people: list[str]


def _sendgrid(asked: Any) -> Answer:
    people = [to["email"] for one in asked["personalizations"] for to in one["to"]]
    return Answer("202 Accepted", b"", people)


def _ses_bulk(asked: Any) -> Answer:
    people = [entry["Destination"]["ToAddresses"][0] for entry in asked["BulkEmailEntries"]]
    results = [{"Status": "SUCCESS", "MessageId": f"0100-{to}"} for to in people]
    return Answer("200 OK", orjson.dumps({"BulkEmailEntryResults": results}), people)


def _ses(asked: Any) -> Answer:
    people = asked["Destination"]["ToAddresses"]
    return Answer("200 OK", orjson.dumps({"MessageId": f"0100-{people[0]}"}), people)


def _postmark_result(message: Any) -> dict[str, Any]:
    to = message["To"]
    when = "2026-01-31T12:00:00.0000000Z"
    return {
        "To": to, "SubmittedAt": when, "MessageID": f"0a-{to}", "ErrorCode": 0, "Message": "OK",
    }  # fmt: skip


def _postmark_batch(asked: Any) -> Answer:
    results = [_postmark_result(message) for message in asked]
    return Answer("200 OK", orjson.dumps(results), [message["To"] for message in asked])


def _postmark(asked: Any) -> Answer:
    return Answer("200 OK", orjson.dumps(_postmark_result(asked)), [asked["To"]])


ROUTES: dict[str, Callable[[Any], Answer]] = {
    "/v3/mail/send": _sendgrid,
    "/v2/email/outbound-bulk-emails": _ses_bulk,
    "/v2/email/outbound-emails": _ses,
    "/email/batch": _postmark_batch,
    "/email": _postmark,
}


class Sink:
    """Counts what arrives on any number of connections."""

    def __init__(self) -> None:
        self._recipients, self._requests = 0, 0
        self._people: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept as long as the client keeps it."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                body = await reader.readexactly(_length(head))
                writer.write(self._answer(head.split(" ", 2)[1], body))
                await writer.drain()
                if "\nconnection: close" in head:
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client went away, or the bench is over
        writer.close()

    def _answer(self, path: str, body: bytes) -> bytes:
        if path == "/_taken":
            return _written("200 OK", orjson.dumps(tuple(self._told())))
        answer = ROUTES[path](orjson.loads(body))
        self._recipients += len(answer.people)
        self._people.update(answer.people)
        self._requests += 1
        return _written(answer.status, answer.body)

    def _told(self) -> Taken:
        taken = Taken(self._recipients, len(self._people), self._requests)
        self._recipients, self._requests = 0, 0
        self._people.clear()
        return taken


def _length(head: str) -> int:
    _, found, rest = head.partition("\ncontent-length:")
    return int(rest.split("\r", 1)[0]) if found else 0


def _written(status: str, body: bytes) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Message-Id: 14c5d75ce93\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Running(NamedTuple):
    """A sink in another process."""

    url: str

    def taken(self) -> Taken:
        """What it got since this was last asked."""
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            connection.request("GET", "/_taken")
            return Taken(*json.load(connection.getresponse()))
        finally:
            connection.close()


@contextmanager
def running() -> Iterator[Running]:
    """A sink for as long as the block lasts; it ends by itself when this process dies."""
    command = [sys.executable, "-m", "bench.sink"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Running(process.stdout.readline().strip())
        finally:
            process.stdin.close()
            process.wait(timeout=10)


async def main() -> None:
    """Serve until the standard input ends."""
    server = await asyncio.start_server(Sink().serve, "127.0.0.1", 0, limit=LARGEST_HEAD)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True).start()
    async with server:
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
