"""Ends a connection the way a crashing host does."""

import socket
import struct
from contextlib import suppress


def reset_on_close(connection: socket.socket) -> None:
    """From now on closing sends a reset instead of a farewell."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
