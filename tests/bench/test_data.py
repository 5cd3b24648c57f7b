"""The made list and newsletter are the same every time, and mean what their summary says."""

import io
from pathlib import Path

from bench.data import make_list, make_newsletter
from database import migrate
from database.engine import Database
from list_manager import ListManager
from mail.compiled import Compiled
from mail.content import Campaign, Sender, Source, compile_campaign
from mail.message import fill
from mail.people import Recipient
from mail.renderer import Urls
from utils.signing import Signer

ROWS = 1_000


def test_equal_arguments_make_equal_lists() -> None:
    once, again = make_list.make(ROWS), make_list.make(ROWS)
    assert once == again
    assert make_list.make(ROWS, seed=2)[0] != once[0]


def test_an_import_finds_exactly_what_the_summary_says(tmp_path: Path) -> None:
    rows, summary = make_list.make(ROWS)
    database = Database(f"sqlite:///{tmp_path / 'email.db'}")
    migrate.upgrade(database)
    people = ListManager(database, erasure_key="a key of at least thirty-two bytes")
    file = io.BytesIO(make_list.written(rows).encode())
    report = people.import_stream(file, format="csv", by="test")
    database.dispose()
    assert report.received == ROWS == summary.rows
    assert report.added == summary.people
    assert report.rejected == summary.bad.total()
    assert report.updated + report.unchanged == summary.duplicates > 0
    assert set(summary.bad) == set(make_list.BAD)


def test_the_newsletter_is_of_real_size_and_fits_everybody() -> None:
    source = make_newsletter.make()
    compiled = _compiled(source)
    assert make_newsletter.make() == source
    assert len(source) > 60_000
    assert len(compiled.links) > 30
    assert compiled.required_variables() == ()
    assert compiled.warnings == ()
    patron = _html(compiled, {
        "plan": "patron", "points": "800", "city": "東京",
        "shelf": [{"title": "Tea & <b>", "pages": 700, "due": "2026-01-15"}],
    })  # fmt: skip
    assert "As a patron" in patron
    assert "800 stamps" in patron
    assert "1. Tea &amp; &lt;b&gt;" in patron
    assert "In 東京 we meet here" in patron
    nobody = _html(compiled, {})
    assert "Nothing is borrowed" in nobody
    assert "{{" not in nobody


def _compiled(source: str) -> Compiled:
    keys = ("a key of at least thirty-two bytes",)
    return compile_campaign(
        Source(make_newsletter.SUBJECT, source),
        campaign=Campaign(1, "abcdefgh", "Winter"),
        sender=Sender("news@example.com", postal_address="1 Main Street"),
        urls=Urls("https://a.example", Signer(keys, "tracking"), Signer(keys, "consent")),
    )


def _html(compiled: Compiled, attributes: dict[str, object]) -> str:
    message = compiled.render(Recipient(1, "a@example.com", "Anna", "a@example.com", attributes))
    return fill(compiled.content.html or (), message.slots)
