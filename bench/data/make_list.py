"""A list as real ones are: many scripts, several spellings of one address, and bad rows.

The same rows for the same arguments, on every machine. On the error stream it says what an import
must make of them. Run `python -m bench.data.make_list --rows 20000 > list.csv`.
"""

import argparse
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from bench.data import words
from bench.data.words import Script

Thing = TypeVar("Thing")

HEADER = ("email", "name", "plan", "city", "points", "tags", "attributes", "created_at")
#: In a hundred rows.
BAD_SHARE = 5
DUPLICATE_SHARE = 3


class Person(NamedTuple):
    """One row's cells."""

    email: str
    name: str
    plan: str
    city: str
    points: str
    tags: str
    attributes: str
    created_at: str


@dataclass
class Summary:
    """What an import into an empty database must come to."""

    rows: int = 0
    people: int = 0  #: added
    duplicates: int = 0  #: rows that name somebody once more, in another spelling
    bad: Counter[str] = field(default_factory=Counter)  #: rejected rows by kind
    scripts: Counter[str] = field(default_factory=Counter)  #: people by script

    def show(self) -> str:
        """For a person to read."""
        kinds = "\n".join(f"    {count:6}  {kind}" for kind, count in self.bad.most_common())
        scripts = ", ".join(f"{name} {count}" for name, count in self.scripts.items())
        return (
            f"{self.rows} rows: an import must add {self.people} people, find {self.duplicates} "
            f"rows that repeat one of them, and reject {self.bad.total()}:\n{kinds}\n"
            f"  scripts: {scripts}"
        )


def make(rows: int, seed: int = 1) -> tuple[list[list[str]], Summary]:
    """The rows below the header. Equal arguments give equal rows."""
    chance = Random(seed)
    made: list[list[str]] = []
    people: list[Person] = []
    summary = Summary(rows)
    faults = _in_turn(BAD)
    spellings = _in_turn(SPELLINGS)
    for number in range(rows):
        script = chance.choices(words.SCRIPTS, words.SHARES)[0]
        person = _person(chance, number, script)
        lot = chance.random() * 100
        if lot < BAD_SHARE:
            kind, spoil = next(faults)
            made.append(spoil(person))
            summary.bad[kind] += 1
        elif lot < BAD_SHARE + DUPLICATE_SHARE and people:
            known = chance.choice(people)
            made.append(list(known._replace(email=next(spellings)[1](known.email))))
            summary.duplicates += 1
        else:
            made.append(list(person))
            people.append(person)
            summary.scripts[script.name] += 1
    summary.people = len(people)
    return made, summary


def _in_turn(things: Mapping[str, Thing]) -> Iterator[tuple[str, Thing]]:
    while True:
        yield from things.items()


def _person(chance: Random, number: int, script: Script) -> Person:
    first, last = chance.choice(script.firsts), chance.choice(script.lasts)
    east = script.name == "CJK"
    return Person(
        email=_email(chance, number, script, first, last),
        name=f"{last}{first}" if east else f"{first} {last}",
        plan=chance.choice(words.PLANS),
        city=chance.choice(script.cities),
        points=str(chance.randrange(0, 1000)),
        tags=";".join(chance.sample(words.GENRES, chance.randrange(0, 3))),
        attributes=_attributes(chance),
        created_at=f"{chance.randrange(2015, 2026)}-{chance.randrange(1, 13):02}-"
        f"{chance.randrange(1, 29):02}T{chance.randrange(24):02}:00:00Z",
    )


def _happens(chance: Random, percent: int) -> bool:
    return chance.random() * 100 < percent


def _email(chance: Random, number: int, script: Script, first: str, last: str) -> str:
    """An ASCII local part that tells its person apart, with a domain as people write it."""
    local = _ascii(f"{first}.{last}").strip(".") or "reader"
    local += f"{chance.choice(('', '.', '-', '+', '_'))}{number}"
    if _happens(chance, 20):  # mixed case is the same mailbox
        local = local.title()
    own = script.domains and _happens(chance, 30)
    domain = chance.choice(script.domains if own else words.DOMAINS)
    return f"{local}@{domain.upper() if _happens(chance, 5) else domain}"


def _ascii(text: str) -> str:
    kept = "".join(c for c in text.lower() if c.isascii() and (c.isalnum() or c in "'."))
    return kept.replace("..", ".")


def _attributes(chance: Random) -> str:
    """What only JSON can say: a list to loop over, a number, a truth; some have nothing."""
    if _happens(chance, 10):
        return ""
    shelf = [
        {"title": title, "pages": chance.randrange(90, 900), "due": f"2026-{month:02}-15"}
        for month, title in enumerate(chance.sample(words.BOOKS, chance.randrange(0, 5)), start=1)
    ]
    known: dict[str, object] = {"shelf": shelf, "language": chance.choice(("en", "de", "fi"))}
    if _happens(chance, 50):
        known["meetings"] = chance.randrange(0, 40)
    if _happens(chance, 30):
        known["newcomer"] = _happens(chance, 50)
    return json.dumps(known, ensure_ascii=False, separators=(",", ":"))


Spelling = Callable[[str], str]


def _quoted(email: str) -> str:
    local, _, domain = email.rpartition("@")
    return f'"{local}"@{domain}'


def _other_form(email: str) -> str:
    """The domain in the other of its two forms: letters or A-labels."""
    local, _, domain = email.rpartition("@")
    if not domain.isascii():
        return f"{local}@{domain.lower().encode('idna').decode()}"
    return f"{local}@{domain.swapcase()}"


#: Other spellings of one mailbox.
SPELLINGS: dict[str, Spelling] = {
    "capitals": str.upper,
    "small letters": str.lower,
    "needless quotes": _quoted,
    "a final dot": lambda email: f"{email}.",
    "blanks around it": lambda email: f"  {email} ",
    "the other form of its domain": _other_form,
}


def _email_of(change: Callable[[str], str]) -> Callable[[Person], list[str]]:
    return lambda person: list(person._replace(email=change(person.email)))


def _local(change: Callable[[str], str]) -> Callable[[Person], list[str]]:
    def spoilt(email: str) -> str:
        local, _, domain = email.rpartition("@")
        return f"{change(local)}@{domain}"

    return _email_of(spoilt)


def _domain(domain: str) -> Callable[[Person], list[str]]:
    return _email_of(lambda email: f"{email.rpartition('@')[0]}@{domain}")


def _cells(**cells: str) -> Callable[[Person], list[str]]:
    return lambda person: list(person._replace(**cells))


#: Every way to be refused, each for the same share of the bad rows.
BAD: dict[str, Callable[[Person], list[str]]] = {
    "no address": _cells(email=""),
    "a blank for an address": _cells(email="   "),
    "no at-sign": _email_of(lambda email: email.replace("@", " at ")),
    "two at-signs": _email_of(lambda email: email.replace("@", "@@")),
    "a placeholder": _cells(email="n/a"),
    "a mailto link": _email_of(lambda email: f"mailto:{email}"),
    "a name with the address": _email_of(lambda email: f"Reader <{email}>"),
    "two addresses": _email_of(lambda email: f"{email}, second@example.com"),
    "nothing before the at-sign": _local(lambda _: ""),
    "a blank inside": _local(lambda local: f"{local[:1]} {local[1:]}"),
    "two dots in a row": _local(lambda local: f"{local}..x"),
    "a dot in front": _local(lambda local: f".{local}"),
    "letters outside ASCII before the at-sign": _local(lambda local: f"мария{local}"),
    "65 characters before the at-sign": _local(lambda local: local.ljust(65, "x")),
    "nothing after the at-sign": _domain(""),
    "a domain without a dot": _domain("example"),
    "a domain with an underscore": _domain("exa_mple.com"),
    "a domain that begins with a hyphen": _domain("-x.example"),
    "an address literal": _domain("[192.0.2.1]"),
    "a reserved domain": _domain("example.invalid"),
    "a domain too long": _domain(".".join(["abcdefghij" * 5] * 5) + ".example"),
    "a full-width at-sign": _email_of(lambda email: email.replace("@", "＠")),
    "attributes that are not JSON": _cells(attributes='{"shelf": [}'),
    "attributes that are a list": _cells(attributes="[1, 2]"),
    "an impossible date": _cells(created_at="2025-02-31"),
    "a date in words": _cells(created_at="last summer"),
    "a name too long": lambda person: list(person._replace(name=person.name.ljust(501, "x"))),
    "a tag too long": _cells(tags="mystery;" + "x" * 101),
    "a cell too many": lambda person: [*person, "and another"],
}


def written(rows: list[list[str]]) -> str:
    """The rows as CSV, with their header."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows([HEADER, *rows])
    return file.getvalue()


def put(text: str, path: Path | None) -> None:
    """Print, or write to a file whose folder is made when missing. Always UTF-8."""
    if path is None:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.data.make_list", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a file instead of the standard output")
    given = parser.parse_args()
    rows, summary = make(given.rows, given.seed)
    put(written(rows), given.out)
    print(summary.show(), file=sys.stderr)


if __name__ == "__main__":
    main()
