# ruff: noqa: E501 (an author's long lines)
"""A newsletter of real size in Liquid: tables in tables, Outlook's comments, logic everywhere.

The same text every time. Run `python -m bench.data.make_newsletter > newsletter.html`.
"""

import argparse
from html import escape
from pathlib import Path

from bench.data.articles import BOOKS, EVENINGS, MEETINGS, NOTES, Book
from bench.data.make_list import put

SUBJECT = "{{ first_name | default: 'Reader' }}, the winter season of the Lantern Reading Club"
SITE = "https://club.example"
JOIN = '/join?l={{ language | default: "en" | url_encode }}'
SANS = "font-family:'Segoe UI',Helvetica,Arial,sans-serif"
SERIF = "font-family:Georgia,'Times New Roman',Times,serif"

HEAD = """<!DOCTYPE html>
<html lang="{{ language | default: 'en' }}" xmlns="http://www.w3.org/1999/xhtml" xmlns:v="urn:schemas-microsoft-com:vml" xmlns:w="urn:schemas-microsoft-com:office:word" xmlns:o="urn:schemas-microsoft-com:office:office">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="x-apple-disable-message-reformatting">
<meta name="color-scheme" content="light dark">
<title>{{ campaign.name }}</title>
<!--[if mso]>
<noscript><xml><o:OfficeDocumentSettings><o:AllowPNG/><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml></noscript>
<style>table{border-collapse:collapse}td,th,div,p,a,h1,h2,h3{font-family:Arial,sans-serif !important;mso-line-height-rule:exactly}</style>
<![endif]-->
<style>
body{margin:0;padding:0;width:100%;background:#f3efe6;-webkit-text-size-adjust:100%}
img{border:0;line-height:100%;outline:none;text-decoration:none;-ms-interpolation-mode:bicubic}
a{color:#7a3e12}
@media (max-width:640px){.box{width:100% !important}.half{display:block !important;width:100% !important}.pad{padding-left:16px !important;padding-right:16px !important}h1{font-size:26px !important;line-height:32px !important}}
@media (prefers-color-scheme:dark){body,.page{background:#1c1a17 !important}.card{background:#292621 !important}.ink{color:#ece6da !important}}
</style>
</head>
<body class="page" style="margin:0;padding:0;background:#f3efe6">
<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">Fifteen books, eight cities and one very quiet hour: what we read until spring{% if plan == "patron" and plan %}, and an evening for patrons{% endif %}. &#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;&#8199;&zwnj;&nbsp;</div>
{%- assign score = points | default: 0 | plus: 0 -%}
{%- assign greeting = first_name | default: "Reader" -%}
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" class="page" style="background:#f3efe6"><tr><td align="center" style="padding:24px 8px">
<!--[if mso]><table role="presentation" width="640" align="center" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->
<table role="presentation" class="box" width="640" cellpadding="0" cellspacing="0" border="0" style="width:640px;max-width:640px">
"""

FOOT = """</table>
<!--[if mso]></td></tr></table><![endif]-->
</td></tr></table>
</body>
</html>
"""


def row(inner: str, style: str = "padding:24px 32px") -> str:
    """A card over the whole width."""
    return (
        f'<tr><td class="card pad" bgcolor="#fffdf8" style="background:#fffdf8;{style}">\n'
        f"{inner}\n</td></tr>\n"
        '<tr><td height="12" style="height:12px;font-size:0;line-height:0">&nbsp;</td></tr>\n'
    )


def heading(text: str) -> str:
    return f'<h2 class="ink" style="margin:0 0 8px;{SERIF};font-size:22px;line-height:28px;font-weight:normal;color:#2d2419">{text}</h2>'


def paragraph(text: str) -> str:
    return f'<p class="ink" style="margin:0 0 14px;{SANS};font-size:16px;line-height:25px;color:#3f372c">{text}</p>'


def image(name: str, alt: str, width: int, height: int) -> str:
    return f'<img src="{SITE}/pictures/{name}.jpg" width="{width}" height="{height}" alt="{escape(alt)}" style="display:block;width:100%;max-width:{width}px;height:auto;border:0">'


def button(href: str, text: str) -> str:
    """One that Outlook draws as well; its own link there is not ours to follow."""
    return f"""<!--[if mso]>
<v:roundrect href="{href}" style="height:40px;v-text-anchor:middle;width:220px" arcsize="10%" strokecolor="#7a3e12" fillcolor="#7a3e12"><w:anchorlock/><center style="color:#ffffff;font-size:15px">{text}</center></v:roundrect>
<![endif]--><!--[if !mso]><!-->
<a href="{href}" style="display:inline-block;padding:10px 22px;background:#7a3e12;border-radius:4px;{SANS};font-size:15px;line-height:20px;color:#ffffff;text-decoration:none">{text}</a>
<!--<![endif]-->"""


def opening() -> str:
    """Who we are, and a greeting that knows whom it greets."""
    return row(image("masthead", "The Lantern Reading Club", 640, 180), "padding:0") + row(
        f'<h1 class="ink" style="margin:0 0 12px;{SERIF};font-size:32px;line-height:40px;font-weight:normal;color:#2d2419">Good evening, {{{{ greeting }}}}</h1>\n'
        + paragraph(
            "The lamps are lit, the chairs are back from the mender's, and the list for the winter is up in the hall."
            "{% if newcomer %} You are new among us: welcome. Nobody expects you to have read anything; that is what the evenings are for.{% endif %}"
            '{% if meetings %} You have come to {{ meetings }} {% if meetings == 1 %}evening{% else %}evenings{% endif %} so far, and we hope for more.{% endif %}'
        )
        + "\n"
        + paragraph(
            "{% if plan == 'patron' and plan %}As a patron you keep the lights on. The patrons' evening is in the second week of the season, and your chair is the one by the stove."
            "{% elsif plan == 'reader' and plan %}Your reader's card is good for every group in every city, and for one guest each time."
            "{% else %}You read with us for free, and may do so for as long as you like. A card helps those who cannot pay for theirs.{% endif %}"
        )
        + button(f"{SITE}/season?from=letter&amp;plan={{{{ plan | default: 'free' }}}}", "See the whole season")
    )  # fmt: skip


def points() -> str:
    """What the club's stamps come to."""
    return row(
        heading("Your stamps")
        + paragraph(
            "{% if score >= 750 %}{{ score }} stamps: the cabinet is open to you. Choose any one book and keep it."
            "{% elsif score >= 250 %}{{ score }} stamps are on your card, and {{ 750 | minus: score }} more open the cabinet."
            "{% elsif score > 0 %}You have {{ score }} {% if score == 1 %}stamp{% else %}stamps{% endif %}. Ten for an evening, five for a borrowed book, one for bringing biscuits."
            "{% else %}Your card is still empty. The first evening brings ten stamps at once.{% endif %}"
        )
        + f'<p style="margin:0;{SANS};font-size:14px"><a href="{SITE}/stamps">How stamps work</a></p>'
    )


def shelf() -> str:
    """What this person has borrowed."""
    cell = f"padding:8px 10px;{SANS};font-size:14px;line-height:20px;color:#3f372c;border-bottom:1px solid #e4dccb"
    return row(
        heading("On your shelf")
        + f"""{{% if shelf and shelf.size > 0 %}}
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">
<tr><th align="left" style="{cell}">Book</th><th align="right" style="{cell}">Pages</th><th align="left" style="{cell}">Back by</th></tr>
{{% for book in shelf %}}<tr bgcolor="{{% cycle '#fffdf8', '#f8f3e8' %}}"><td style="{cell}">{{{{ forloop.index }}}}. {{{{ book.title | default: "a book" }}}}</td>
<td align="right" style="{cell}">{{{{ book.pages | default: "?" }}}}{{% if book.pages > 600 %}} (take your time){{% endif %}}</td>
<td style="{cell}">{{{{ book.due | default: "whenever" }}}}</td></tr>
{{% endfor %}}</table>
<p style="margin:12px 0 0;{SANS};font-size:14px;line-height:22px"><a href="{SITE}/shelf/renew">Renew all of them</a></p>
{{% else %}}"""
        + paragraph(f'Nothing is borrowed in your name. <a href="{SITE}/catalogue">The catalogue</a> has four thousand ways to change that.')
        + "{% endif %}"
    )  # fmt: skip


def book(number: int, about: Book) -> str:
    """A book of the season; picture left and right by turns."""
    left = number % 2 == 0
    link = f"{SITE}/books/{about.slug}"
    words = "\n".join(paragraph(text) for text in about.words)
    picture = (
        f'<td class="half" width="180" valign="top" style="width:180px;padding:0 0 16px"><a href="{link}?picture=1">'
        f"{image(about.slug, about.picture, 180, 240)}</a></td>"
    )
    padding = "0 0 0 24px" if left else "0 24px 0 0"
    text = (
        f'<td class="half" valign="top" style="padding:{padding}">'
        f"{heading(about.title)}\n"
        f'<p style="margin:0 0 12px;{SANS};font-size:13px;line-height:18px;letter-spacing:1px;text-transform:uppercase;color:#8a7a63">{about.by}</p>\n'
        f"{words}\n{button(link + JOIN, 'Join the group')}\n"
        f'<p style="margin:12px 0 0;{SANS};font-size:14px;line-height:20px"><a href="{link}/extract">Read an extract</a></p></td>'
    )
    halves = (picture, text) if left else (text, picture)
    return row(
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr>\n'
        + "\n".join(halves)
        + "\n</tr></table>"
    )


def meetings() -> str:
    """The person's own city first, when we meet there."""
    whens = "".join(
        f'{{% when "{city}" %}}{paragraph(f"In {city} we meet here: {place}.")}'
        for _, city, place in MEETINGS
    )
    lines = "\n".join(
        f'<tr><td style="padding:6px 0;{SANS};font-size:15px;line-height:22px;color:#3f372c"><b>{city}</b><br>{place} · <a href="{SITE}/cities/{slug}">map and dates</a></td></tr>'
        for slug, city, place in MEETINGS
    )
    return row(
        heading("Where we meet")
        + f"{{% if city %}}{{% case city %}}{whens}{{% else %}}"
        + paragraph("There is no group in {{ city }} yet. Three readers and a kettle are enough to begin one, and we lend the books.")
        + "{% endcase %}{% endif %}\n"
        + f'<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">\n{lines}\n</table>'
    )  # fmt: skip


def calendar() -> str:
    """Every evening of the season, with a link to put it into a calendar."""
    cell = f"padding:5px 8px;{SANS};font-size:14px;line-height:20px;color:#3f372c;border-bottom:1px solid #e4dccb"
    lines = "\n".join(
        f'<tr><td width="100" style="{cell}">{day}</td><td style="{cell}">{what}</td>'
        f'<td align="right" style="{cell}"><a href="{SITE}/calendar/{number}-{slug}.ics">add</a></td></tr>'
        for number, (day, slug, what) in enumerate(EVENINGS, start=1)
    )
    return row(
        heading("The season at a glance")
        + f'<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">\n{lines}\n</table>'
    )


def notes() -> str:
    """Short ones."""
    return row(
        heading("From the notice board")
        + "\n".join(
            f'<h3 class="ink" style="margin:16px 0 4px;{SANS};font-size:16px;line-height:22px;color:#2d2419">{title}</h3>\n'
            + paragraph(f'{text} <a href="{SITE}/notes/{slug}">More</a>')
            for slug, title, text in NOTES
        )
    )


def closing() -> str:
    small = f"margin:0 0 8px;{SANS};font-size:13px;line-height:20px;color:#6d614f"
    return row(
        f'<p style="{small}">You get this letter at {{{{ email }}}} because you asked for it when you joined the Lantern Reading Club{{% if plan %}} as a {{{{ plan }}}} member{{% endif %}}.</p>\n'
        f'<p style="{small}"><a href="{{{{ view_url }}}}">Read it in a browser</a> · <a href="{{{{ preferences_url }}}}">Choose what you get</a> · <a href="{{{{ unsubscribe_url }}}}">Unsubscribe</a></p>\n'
        f'<p style="{small}"><a href="{SITE}/privacy">What we know about you</a> · <a href="mailto:hello@club.example">hello@club.example</a></p>'
    )


def make() -> str:
    """The whole source."""
    books = [book(number, about) for number, about in enumerate(BOOKS)]
    before = [HEAD, opening(), points(), shelf()]
    return "".join([*before, *books, calendar(), meetings(), notes(), closing(), FOOT])


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.data.make_newsletter", description=__doc__)
    parser.add_argument("--out", type=Path, help="a file instead of the standard output")
    parser.add_argument("--subject", action="store_true", help="print its subject instead")
    given = parser.parse_args()
    put(SUBJECT if given.subject else make(), given.out)


if __name__ == "__main__":
    main()
