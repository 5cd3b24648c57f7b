"""How many subscribers there are, by status, mailbox provider and tag; who is who is not told."""

from collections import Counter

import sqlalchemy as sa

from database.models import SubscriberStatus, subscribers

_c = subscribers.c
#: Whose servers a domain's mail is read on; a domain that is not here is `other`.
MAILBOX_PROVIDERS = {
    "gmail.com": "gmail", "googlemail.com": "gmail",
    "outlook.com": "outlook", "hotmail.com": "outlook", "live.com": "outlook", "msn.com": "outlook",
    "hotmail.co.uk": "outlook", "hotmail.fr": "outlook", "hotmail.de": "outlook",
    "hotmail.it": "outlook", "hotmail.es": "outlook", "outlook.de": "outlook",
    "live.co.uk": "outlook", "live.nl": "outlook",
    "yahoo.com": "yahoo", "ymail.com": "yahoo", "rocketmail.com": "yahoo", "aol.com": "yahoo",
    "yahoo.co.uk": "yahoo", "yahoo.fr": "yahoo", "yahoo.de": "yahoo", "yahoo.it": "yahoo",
    "yahoo.es": "yahoo", "yahoo.co.in": "yahoo", "yahoo.com.br": "yahoo",
    "icloud.com": "apple", "me.com": "apple", "mac.com": "apple",
    "gmx.de": "gmx", "gmx.net": "gmx", "gmx.com": "gmx", "gmx.at": "gmx", "gmx.ch": "gmx",
    "web.de": "gmx",
    "proton.me": "proton", "protonmail.com": "proton", "pm.me": "proton",
    "comcast.net": "comcast", "orange.fr": "orange", "wanadoo.fr": "orange", "free.fr": "free",
    "t-online.de": "t-online", "mail.ru": "mail.ru", "yandex.ru": "yandex", "yandex.com": "yandex",
    "qq.com": "qq", "163.com": "netease", "126.com": "netease",
}  # fmt: skip


def by_status(connection: sa.Connection) -> dict[str, int]:
    """Every status, those of nobody as well."""
    rows = connection.execute(sa.select(_c.status, sa.func.count()).group_by(_c.status))
    found: dict[str, int] = dict(rows.all())
    return {status.value: found.get(status, 0) for status in SubscriberStatus}


def by_mailbox_provider(connection: sa.Connection) -> dict[str, int]:
    """Active people by who keeps their mailbox, largest first."""
    domain = _domain(connection)
    rows = connection.execute(
        sa.select(domain, sa.func.count())
        .where(_c.status == SubscriberStatus.ACTIVE)
        .group_by(domain)
    )
    counts: Counter[str] = Counter()
    for name, count in rows:
        counts[MAILBOX_PROVIDERS.get(name, "other")] += count
    return dict(counts.most_common())


def by_tag(connection: sa.Connection, *, limit: int = 100) -> dict[str, int]:
    """Active people of the `limit` largest tags."""
    sqlite = connection.dialect.name == "sqlite"
    each = sa.func.json_each if sqlite else sa.func.jsonb_each
    tag = each(_c.tags).table_valued("key")
    count = sa.func.count()
    rows = connection.execute(
        sa.select(tag.c.key, count)
        .select_from(sa.join(subscribers, tag, sa.true()))
        .where(_c.status == SubscriberStatus.ACTIVE)
        .group_by(tag.c.key)
        .order_by(count.desc(), tag.c.key)
        .limit(limit)
    )
    return dict(rows.all())


def _domain(connection: sa.Connection) -> sa.ColumnElement[str]:
    """What follows the last @; in front of it a quoted local part may hold others."""
    if connection.dialect.name == "sqlite":
        # Trims from the right every letter but @: what is left ends with it.
        letters = sa.func.replace(_c.address, "@", "")
        return sa.func.replace(_c.address, sa.func.rtrim(_c.address, letters), "")
    return sa.func.regexp_replace(_c.address, "^.*@", "")
