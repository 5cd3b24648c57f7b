"""Reads which domains mail may be sent from out of domain_setup.json. Knows no DNS."""

import json
from pathlib import Path

import idna

DOMAIN_SETUP = Path(__file__).with_name("domain_setup.json")


def from_domains(path: Path) -> frozenset[str]:
    """A-labels in lower case; none when the file is not there. ValueError says what is wrong."""
    if not path.is_file():
        return frozenset()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["domains"]
        names = [name for entry in entries for name in entry["from_domains"]]
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError("is not JSON") from None
    except (KeyError, TypeError):
        raise ValueError('must be {"domains": [{"domain": …, "from_domains": [...]}]}') from None
    return frozenset(_ascii(name) for name in names)


def _ascii(name: object) -> str:
    try:
        return idna.encode(str(name).rstrip(".").lower(), uts46=True).decode()
    except idna.IDNAError:
        raise ValueError("from_domains holds something that is no domain name") from None
