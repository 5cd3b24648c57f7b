"""Answers questions about the delivery log: messages, ledger, posted events, numbers."""

from simulator import outbox
from simulator.addresses import canonical
from simulator.esps import Esp
from simulator.log import ESP_CODE, ESPS, VISITS, Log
from simulator.outcomes import KIND_CODE, KINDS, TOLD_AS
from simulator.state import State
from simulator.wire import Json, Stored

PAGE = 50
LARGEST_PAGE = 10_000
EXAMPLES = 10


def _limit(query: dict[str, str]) -> int:
    return max(1, min(int(query.get("limit", PAGE)), LARGEST_PAGE))


def _esp(query: dict[str, str]) -> int:
    if query["esp"] not in ESP_CODE:
        raise ValueError(f"esp: one of {', '.join(ESPS)}")
    return ESP_CODE[query["esp"]]


def _conditions(query: dict[str, str], table: str) -> tuple[str, list[Json]]:
    where = ["1"]
    values: list[Json] = []
    for column in ("send_id", "campaign", "outcome"):
        if column in query:
            where.append(f"m.{column} = ?")
            values.append(query[column])
    if "to" in query:
        where.append("m.address = ?")
        values.append(canonical(query["to"]))
    if "esp" in query:
        where.append(f"{table}.esp = ?")
        values.append(_esp(query))
    return " AND ".join(where), values


def page(log: Log, query: dict[str, str]) -> tuple[list[Stored], str | None]:
    """Messages, newest first; the cursor is the id of the last one."""
    where, values = _conditions(query, "m")
    if "cursor" in query:
        where += " AND m.id < ?"
        values.append(int(query["cursor"]))
    limit = _limit(query)
    found = log.select_messages(where, values, "m.id DESC", limit)
    return found, str(found[-1].id) if len(found) == limit else None


def show(state: State, esp: Esp, message: Stored) -> Json:
    """A message as its recipient would see it, with the ESP's view of it."""
    mail = esp.mail_of(state, message)
    return {
        "id": message.id,
        "at": message.at / 1000,
        "esp": message.esp,
        "message_id": esp.message_id(state, message),
        "send_id": message.send_id,
        "campaign": message.campaign,
        "outcome": message.outcome,
        "address": message.address,
        "from": mail.sender,
        "to": mail.to,
        "subject": mail.subject,
        "html": mail.html,
        "text": mail.text,
        "headers": mail.headers,
        "metadata": mail.tags,
    }


def ledger(log: Log, query: dict[str, str]) -> list[Json]:
    """Who got how many copies, by send id, address, ESP and outcome, and when the last one was
    taken (Unix seconds); all rows at once."""
    where, values = _conditions(query, "m")
    sql = (
        "SELECT m.send_id, m.address, m.esp, m.outcome, count(*), max(m.at) FROM messages m"  # noqa: S608
        f" WHERE {where} GROUP BY 1, 2, 3, 4"
    )
    with log.reading() as connection:
        rows = connection.execute(sql, values).fetchall()
    return [
        {
            "send_id": row[0], "to": row[1], "esp": ESPS[row[2]], "outcome": row[3],
            "count": row[4], "at": row[5] / 1000,
        }
        for row in rows
    ]  # fmt: skip


def posted(log: Log, query: dict[str, str]) -> tuple[list[Json], str | None]:
    """Events told and visits made, oldest first, with the last status and the attempts."""
    where, values = _conditions(query, "p")
    if "kind" in query:
        if query["kind"] not in KIND_CODE:
            raise ValueError(f"kind: one of {', '.join(KINDS)}")
        where += " AND p.kind = ?"
        values.append(KIND_CODE[query["kind"]])
    where += " AND p.id > ?"
    values.append(int(query.get("cursor", 0)))
    limit = _limit(query)
    sql = (
        "SELECT p.id, p.at, p.esp, p.kind, p.status, p.attempts,"  # noqa: S608
        " m.send_id, m.address, m.campaign"
        f" FROM posted p JOIN messages m ON m.id = p.message WHERE {where} ORDER BY p.id LIMIT ?"
    )
    with log.reading() as connection:
        rows = connection.execute(sql, (*values, limit)).fetchall()
    items = [
        {
            "id": row[0], "at": row[1] / 1000, "esp": ESPS[row[2]], "kind": KINDS[row[3]],
            "status": row[4], "attempts": row[5], "send_id": row[6], "to": row[7],
            "campaign": row[8],
        }
        for row in rows
    ]  # fmt: skip
    return items, str(rows[-1][0]) if len(rows) == limit else None


def duplicates(log: Log) -> Json:
    """Who got more than one copy of one campaign; what could not be rendered was never sent."""
    sql = (
        "SELECT address, copy_of, count(*) AS n FROM messages"
        " WHERE copy_of != '' AND outcome != 'render_failure'"
        " GROUP BY address, copy_of HAVING n > 1"
    )
    with log.reading() as connection:
        rows = connection.execute(sql).fetchall()
    examples = [{"to": row[0], "campaign": row[1], "copies": row[2]} for row in rows[:EXAMPLES]]
    return {"count": len(rows), "copies": sum(row[2] - 1 for row in rows), "examples": examples}


def _distinct(log: Log) -> dict[str, int]:
    sql = "SELECT esp, count(DISTINCT address) FROM messages GROUP BY esp"
    with log.reading() as connection:
        return {ESPS[code]: n for code, n in connection.execute(sql).fetchall()}


def stats(state: State) -> Json:
    """The numbers of each ESP and of all together."""
    log, meters = state.log, state.meters
    waiting = outbox.waiting(log)
    people = _distinct(log)
    accepted, told = log.accepted.copy(), log.told.copy()
    requests = meters.requests.copy()
    shown: Json = {}
    for code, esp in enumerate(ESPS):
        outcomes = {o: n for (e, o), n in accepted.items() if e == esp}
        statuses = {str(s): n for (e, s), n in requests.items() if e == esp}
        shown[esp] = {
            "requests": sum(statuses.values()),
            "answers": statuses,
            "accepted": sum(outcomes.values()),
            "outcomes": outcomes,
            "distinct_recipients": people.get(esp, 0),
            "peak_per_second": meters.peak[esp],
            "events_posted": {k: n for (e, k), n in told.items() if e == esp and k not in TOLD_AS},
            "events_pending": waiting.get(code, 0),
            "visits": {k: n for (e, k), n in told.items() if e == esp and k in TOLD_AS},
            "visits_pending": waiting.get(code + VISITS, 0),
        }
    totals = {
        name: sum(shown[esp][name] for esp in ESPS)
        for name in ("requests", "accepted", "events_pending", "visits_pending")
    }
    return {"esps": shown, "total": totals, "duplicates": duplicates(log)}
