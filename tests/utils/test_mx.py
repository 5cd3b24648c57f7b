"""MX look-ups that cannot be answered; those that can are in tests/outbound/test_mailboxes.py."""

import socket

import dns.resolver
import pytest

from utils import mx
from utils.mx import asking


def test_a_server_that_never_answers_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mx, "PATIENCE_SECONDS", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert asking(["127.0.0.1"], silent.getsockname()[1])("shop.example") is None


def test_a_host_without_resolvers_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_self: object, _file: str = "") -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", none)
    assert asking()("shop.example") is None
