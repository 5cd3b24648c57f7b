"""The letter that every side of the bench sends: 3 KB of HTML, 0.8 KB of text, four variables,
three tracked links, a pixel, a link to unsubscribe. Knows nobody who sends it."""

from collections.abc import Callable
from typing import NamedTuple

SITE = "https://club.example"
PUBLIC_URL = "https://mail.example.com"
FROM = "news@example.com"
POSTAL_ADDRESS = "The Lantern Reading Club, 1 Main Street, Springfield"
VARIABLES = ("name", "plan", "city", "points")
LINKS = (f"{SITE}/season", f"{SITE}/cities", f"{SITE}/stamps")

_CELL = "font:16px/24px Georgia,serif;color:#3f372c"
_WORDS = """
The lamps are lit, the chairs are back from the mender's, and the list for the winter is up in the
hall: fifteen books, eight cities, and one hour a week in which nobody speaks.

The long read of the season comes in eight parts, one a fortnight. Whoever has tried it before and
stopped at the first dinner party: this is the winter to get past it.

Large print and audio are there for every book. Tell us once which you like best, and you will
find it under your name on the first evening.

The silent hour is on Sundays from ten to eleven. Tea is poured without a word. It is the fullest
hour of the week, so come early or bring a cushion.

Bring a book for the swap table, take one home, and leave a pencilled line on the first page that
says why it was worth your while.

Every second Saturday the young readers meet, from eight years on, with or without parents. This
term they are writing the missing chapter of a book that they may not name.

The translators' corner takes one page, six languages and two hours. This month it is a page about
snow, which turns out to be difficult in four of them and impossible in one.

Any parcel addressed to the club comes back to the right shelf. Put the slip on top.
""".strip().split("\n\n")

SUBJECT = "{{ name }}, the winter season is here"


def _paragraph(text: str) -> str:
    return f'<tr><td style="padding:0 24px 12px;{_CELL}">{text}</td></tr>\n'


def _link(number: int, text: str) -> str:
    return f'<a href="{LINKS[number]}" style="color:#7a3e12">{text}</a>'


HTML = (
    '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>The winter season</title></head>\n'
    '<body style="margin:0;background:#f3efe6">'
    '<table role="presentation" width="600" align="center" cellpadding="0" cellspacing="0">\n'
    + _paragraph("<b>Good evening, {{ name }}</b>")
    + "".join(map(_paragraph, _WORDS))
    + _paragraph(
        "Your card says {{ plan }} and carries {{ points }} stamps; "
        + _link(2, "what stamps are good for")
        + "."
    )
    + _paragraph(f"In {{{{ city }}}} we meet at seven; {_link(1, 'map and dates')}.")
    + _paragraph(_link(0, "See the whole season"))
    + _paragraph(f'{POSTAL_ADDRESS}. <a href="{{{{ unsubscribe_url }}}}">Unsubscribe</a>')
    + "</table></body></html>\n"
)
TEXT = (
    "Good evening, {{ name }}\n\n"
    + "\n\n".join(_WORDS[:4])
    + "\n\nYour card says {{ plan }} and carries {{ points }} stamps.\n"
    "In {{ city }} we meet at seven.\n\n"
    f"{POSTAL_ADDRESS}\nUnsubscribe: {{{{ unsubscribe_url }}}}\n"
)


class Parts(NamedTuple):
    """A template in somebody's syntax."""

    subject: str
    html: str
    text: str


def in_syntax_of(mark: Callable[[str], str]) -> Parts:
    """The letter as a careful author prepares it by hand for another sender: links lead through a
    redirect with a token, the pixel is in, and `mark` writes a variable. One token serves all."""
    token = mark("token")
    html = HTML.replace("</table></body>", f'</table><img src="{PUBLIC_URL}/o/{token}"></body>')
    for number, link in enumerate(LINKS):
        html = html.replace(link, f"{PUBLIC_URL}/c/{token}/{number}")
    return Parts(*(_marked(part, mark, token) for part in (SUBJECT, html, TEXT)))


def _marked(part: str, mark: Callable[[str], str], token: str) -> str:
    part = part.replace("{{ unsubscribe_url }}", f"{PUBLIC_URL}/unsubscribe/{token}")
    for name in VARIABLES:
        part = part.replace(f"{{{{ {name} }}}}", mark(name))
    return part
