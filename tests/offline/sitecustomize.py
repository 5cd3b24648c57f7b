"""No test reaches the network: an audit hook refuses every address that is not loopback.

Python imports a module of this name at start when its folder is on PYTHONPATH, which conftest.py
arranges: so the rule holds in the child processes of tests too. libpq connects below Python's
sight; the test cluster's addresses are loopback anyway.
"""

import ipaddress
import socket
import sys


class NetworkForbidden(RuntimeError):
    """Not an OSError on purpose: code that survives network faults must not survive this."""


LOCAL_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname().lower()}


def is_local(host: object) -> bool:
    """Loopback or the unspecified address (which connects to loopback), by number or by name."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text.lower() in LOCAL_NAMES
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def target_of(event: str, args: tuple[object, ...]) -> object:
    """The host that this audit event is about to reach; None if it is not about one."""
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = args[1]
        # AF_UNIX has a path here, a connected socket's sendmsg nothing.
        return address[0] if isinstance(address, tuple) and address else None
    if event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        return args[0]
    return None


def refuse_outside(event: str, args: tuple[object, ...]) -> None:
    """The hook itself; the cheap test comes first, as it sees every audit event."""
    if not event.startswith("socket."):
        return
    host = target_of(event, args)
    if host is not None and not is_local(host):
        raise NetworkForbidden(f"{event} to {host!r}: tests stay on this machine")


# A pytest-xdist worker meets this file twice, as a child and by conftest.py: one hook is enough.
if __name__ == "sitecustomize" or not hasattr(sys.modules.get("sitecustomize"), "refuse_outside"):
    sys.addaudithook(refuse_outside)
