"""A SQLite file with as many active subscribers as wanted, each with what the letter asks for."""

from pathlib import Path

from database import migrate
from database.engine import Database
from database.models import subscribers

NAMES = ("Anna", "Søren", "Мария", "O'Neill", "Ελένη", "健太", "Jürgen", "ليلى", "Ben & Co", "Zoë")
CITIES = ("London", "Zürich", "Київ", "東京", "L'Aquila", "São Paulo")
PLANS = ("free", "reader", "patron")
_SLICE = 5_000
_CREATED = 1_700_000_000.0


def fill(path: Path, count: int) -> None:
    """Make the product's tables in `path` and put `count` people in."""
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    for start in range(0, count, _SLICE):
        rows = [person(number) for number in range(start, min(start + _SLICE, count))]
        with database.write() as connection:
            connection.execute(subscribers.insert(), rows)
    database.dispose()


def person(number: int) -> dict[str, object]:
    return {
        "address": f"reader.{number}@example.com", "email": f"Reader.{number}@example.com",
        "name": f"{NAMES[number % len(NAMES)]} {number}", "status": "active",
        "status_at": _CREATED, "created_at": _CREATED, "updated_at": _CREATED, "tags": {},
        "attributes": {
            "plan": PLANS[number % len(PLANS)], "city": CITIES[number % len(CITIES)],
            "points": str(number % 1000), "language": "en",
        },
    }  # fmt: skip
