"""An ESP's SDK client, made when the ESP is first used and shared by all threads. Knows no ESP."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from services.esp import EspError, Misconfigured

Client = TypeVar("Client")


class Lazily(Generic[Client]):
    """Calls `make` once. Importing an SDK takes up to a second, so not before it is needed."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._client: Client | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Client:
        """The client; Misconfigured when the SDK cannot be set up with these keys."""
        client = self._client
        if client is not None:
            return client
        with self._lock:
            if self._client is None:
                self._client = self._made()
            return self._client

    def _made(self) -> Client:
        try:
            return self._make()
        except EspError:
            raise
        except Exception as trouble:
            raise Misconfigured(f"{type(trouble).__name__}: {trouble}", code="sdk") from trouble
