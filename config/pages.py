"""Writes `.env.example` and docs/settings.md from the table of settings: python -m config.pages.

A test compares both files with what this module would write.
"""

from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from config.sections import Section
from config.settings import SECTIONS

ROOT = Path(__file__).parent.parent
ENV_EXAMPLE = ROOT / ".env.example"
SETTINGS_PAGE = ROOT / "docs" / "settings.md"

#: Lines of `.env.example` that are there to be filled in; the others are comments.
ACTIVE = frozenset(
    {
        "MODE", "API_KEY", "SECRET_KEY", "ERASURE_KEY",
        "MAIL_FROM", "MAIL_FROM_NAME", "POSTAL_ADDRESS", "PUBLIC_URL",
        "SENDGRID_API_KEY", "SENDGRID_DAILY_LIMIT", "SENDGRID_BATCH_SIZE",
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SES_DAILY_LIMIT",
        "POSTMARK_API_KEY", "POSTMARK_DAILY_LIMIT",
    }
)  # fmt: skip
_WIDTH = 98


class Row(NamedTuple):
    """One setting as people read about it."""

    name: str
    default: str
    sentence: str


def rows(section: type[Section]) -> list[Row]:
    """The settings of a section, in order."""
    return [
        Row(str(field.alias), str(field.default), field.description or "")
        for field in section.model_fields.values()
        if field.alias
    ]


def env_example() -> str:
    """The template that setup.sh copies to `.env`."""
    lines = [
        "# Email Delivery System: settings. setup.sh copies this to .env and makes the three keys.",
        "# The environment wins over this file, even when a variable is empty there; an empty one",
        "# means the default. A line that begins with # shows the default.",
    ]
    for section in SECTIONS:
        lines += ["", f"# --- {section.title} ".ljust(_WIDTH, "-")]
        for row in rows(section):
            lines += [f"# {line}" for line in wrap(row.sentence, _WIDTH - 2)]
            lines.append(f"{'' if row.name in ACTIVE else '#'}{row.name}={row.default}")
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "In `.env`, or in the environment, which wins even when a variable is empty there (empty",
        "means the default). They are read once, at start. All mistakes are reported together, by",
        "name, and the program exits with 78. `./setup.sh settings` shows what is in force.",
        "`EDS_NO_DOTENV=1` in the environment leaves `.env` unread.",
        "",
        "In `MODE=sandbox` the keys and addresses of ESPs are ignored, and the start says so.",
        "This page is written by `python -m config.pages`.",
    ]
    for section in SECTIONS:
        lines += ["", f"## {section.title}", "", "| setting | default | |", "|---|---|---|"]
        lines += [_table_line(row) for row in rows(section)]
    return "\n".join(lines) + "\n"


def _table_line(row: Row) -> str:
    default = f"`{row.default}`" if row.default else ""
    return f"| `{row.name}` | {default} | {row.sentence} |"


def write() -> None:
    """Both files."""
    ENV_EXAMPLE.write_text(env_example(), encoding="utf-8")
    SETTINGS_PAGE.write_text(settings_page(), encoding="utf-8")


if __name__ == "__main__":
    write()
