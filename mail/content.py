"""A campaign's source compiled once into static text and slots. Deterministic: every process
compiles the same source into the same links and slots."""

from typing import NamedTuple

from database.models import CampaignKind
from mail.advice import advise
from mail.compiled import Compiled, Parts
from mail.footer import insert_at_end, with_footers
from mail.headers import PERSONAL, feedback_id, list_headers
from mail.links import NO_LINKS, Links, find_links, is_template, rewrite
from mail.liquid import SPAN_LIMIT, Problem, TemplateError, parse, scan
from mail.message import Attachment, Content, Pieces
from mail.people import escape_html, one_line
from mail.preheader import with_preheader
from mail.renderer import Urls
from mail.slots import CONSENT_SLOT, TRACKING_SLOT, Slots, Token
from mail.text import derive_text
from mail.variables import CAMPAIGN_FIELDS, Analysis, analyse

#: Characters of each part's source.
SOURCE_LIMITS = {"subject": 1_000, "preheader": 1_000, "html": 500_000, "text": 500_000}
#: Tags of HTML; Gmail shows 102 kB of a message, in which there is room for a few thousand.
ELEMENT_LIMIT = 20_000


class Source(NamedTuple):
    """What the author wrote, and how it is to be treated."""

    subject: str
    html: str | None = None
    text: str | None = None
    track_opens: bool = True
    track_clicks: bool = True
    allow_missing: bool = False  #: a missing variable prints nothing instead of failing the send
    preheader: str | None = None  #: Liquid; what a list of messages shows after the subject
    headers: tuple[tuple[str, str], ...] = ()  #: of the author; checked


class Campaign(NamedTuple):
    """What of the campaign is in every message."""

    id: int
    nonce: str
    name: str = ""
    topic: str | None = None
    kind: CampaignKind = CampaignKind.CAMPAIGN
    label: str | None = None  #: of transactional mail, which is no campaign in an ESP's statistics


class Sender(NamedTuple):
    """Who writes, and how they are reached."""

    email: str
    name: str = ""
    reply_to: str | None = None
    postal_address: str = ""
    unsubscribe_mailto: str | None = None


def compile_campaign(
    source: Source, *, campaign: Campaign, sender: Sender, urls: Urls,
    attachments: tuple[Attachment, ...] = (),
) -> Compiled:  # fmt: skip
    """Compile, or raise TemplateError with the problems of all parts."""
    bulk = campaign.kind is not CampaignKind.TRANSACTIONAL
    known = _known(source, campaign, sender)
    analyses = _check(source)
    parts = _complete(source, sender.postal_address if bulk else None)
    parts = parts._replace(html=_topped(parts.html, source.preheader))
    links = _links(parts.html, analyses, known)
    slots = Slots(_constants(known), _tokens(urls.public_url))
    pieces = _cut(parts._replace(html=_mailed(parts.html, links, source, urls)), slots, analyses)
    content = Content(
        nonce=campaign.nonce,
        campaign_id=campaign.id,
        from_email=one_line(sender.email),
        from_name=one_line(sender.name),
        reply_to=one_line(sender.reply_to) if sender.reply_to else None,
        subject=pieces["subject"] or (),
        html=pieces["html"],
        text=pieces["text"],
        slot_count=slots.count,
        headers=(*_headers(campaign, sender), *source.headers),
        personal_headers=PERSONAL if bulk else (),
        attachments=attachments,
        label=campaign.label,
    )
    return Compiled(
        content=content,
        links=links.targets if source.track_clicks else (),
        variables=tuple(use for analysis in analyses.values() for use in analysis.uses),
        warnings=(
            *(links.warnings if source.track_clicks else ()),
            *(_advice(source, pieces) if bulk else ()),
        ),
        allow_missing=source.allow_missing,
        slots=slots,
        urls=urls,
        mailto=sender.unsubscribe_mailto,
        known=known,
        view=_view(parts, links),
        view_links=links.targets,
    )


def _known(source: Source, campaign: Campaign, sender: Sender) -> dict[str, object]:
    """The values of `campaign.…`."""
    values = (campaign.id, campaign.name, source.subject, sender.email, sender.name)
    return dict(zip(CAMPAIGN_FIELDS, values, strict=True))


def _check(source: Source) -> dict[str, Analysis]:
    """Parse what the author wrote, where line numbers are theirs."""
    analyses: dict[str, Analysis] = {}
    problems: list[Problem] = []
    if source.html is None and source.text is None:
        problems.append(Problem("html", 1, "neither html nor text"))
    if source.preheader and source.html is None:
        problems.append(Problem("preheader", 1, "stands in the HTML, and there is none"))
    for part, limit in SOURCE_LIMITS.items():
        text = getattr(source, part)
        if text is None:
            continue
        if len(text) > limit:
            problems.append(Problem(part, 1, f"longer than {limit} characters"))
            continue
        if part == "html" and text.count("<") > ELEMENT_LIMIT:
            problems.append(Problem(part, 1, f"more than {ELEMENT_LIMIT} tags of HTML"))
            continue
        try:
            template, _ = parse(text, part, limit=SPAN_LIMIT)
        except TemplateError as error:
            problems += error.problems
        else:
            analyses[part] = analyse(template, text, part)
            problems += analyses[part].problems
    if problems:
        raise TemplateError(tuple(problems))
    return analyses


def _complete(source: Source, postal_address: str | None) -> Parts:
    """All parts, with a footer where one is due, and a text part in any case."""
    html, text = source.html, source.text
    if postal_address is not None:
        html, text = with_footers(html, text, postal_address)
    if text is None and html is not None:
        text = derive_text(html, scan(html))
    return Parts(source.subject, html, text)


def _topped(html: str | None, preheader: str | None) -> str | None:
    return None if html is None else with_preheader(html, preheader)


def _advice(source: Source, pieces: dict[str, Pieces | None]) -> tuple[Problem, ...]:
    if source.html is None:
        return ()
    spans = scan(source.html)
    words = derive_text(source.html, spans)
    return advise(source.html, spans, pieces["html"] or (), words=words)


def _links(html: str | None, analyses: dict[str, Analysis], known: dict[str, object]) -> Links:
    if html is None:
        return NO_LINKS
    links = find_links(html, scan(html), _local_names(analyses, "html"), known)
    if links.problems:
        raise TemplateError(links.problems)
    return links


def _mailed(html: str | None, links: Links, source: Source, urls: Urls) -> str | None:
    """The HTML with tracked links and the pixel, as far as they are wanted."""
    if html is None:
        return None
    base = escape_html(urls.public_url).replace("{", "&#123;")
    if source.track_clicks:
        html = rewrite(html, links.links, lambda n: f"{base}/c/{{{{ _tracking_token }}}}/{n}")
    if source.track_opens:
        pixel = (
            f'<img src="{base}/o/{{{{ _tracking_token }}}}" width="1" height="1" alt="" '
            'style="display:block;width:1px;height:1px;border:0">'
        )
        html = insert_at_end(html, pixel)
    return html


def _view(parts: Parts, links: Links) -> Parts:
    """The sources for a page that anybody may see: links that depend on the person are filled."""
    if parts.html is None:
        return parts
    return parts._replace(html=rewrite(
        parts.html, links.links,
        lambda n: f"{{{{ _link_{n} }}}}" if is_template(links.targets[n]) else None,
    ))  # fmt: skip


def _constants(known: dict[str, object]) -> dict[str, str]:
    return {f"campaign.{name}": str(value) for name, value in known.items()}


def _tokens(public_url: str) -> dict[str, Token]:
    return {
        "_tracking_token": Token("", TRACKING_SLOT),
        "view_url": Token(f"{public_url}/v/", TRACKING_SLOT),
        "unsubscribe_url": Token(f"{public_url}/unsubscribe/", CONSENT_SLOT),
        "preferences_url": Token(f"{public_url}/preferences/", CONSENT_SLOT),
    }


def _cut(parts: Parts, slots: Slots, analyses: dict[str, Analysis]) -> dict[str, Pieces | None]:
    """Every part as pieces. A derived text shares the local names of its HTML."""
    pieces: dict[str, Pieces | None] = {}
    for part, source in zip(parts._fields, parts, strict=True):
        if source is None:
            pieces[part] = None
            continue
        pieces[part] = slots.cut(source, part, _local_names(analyses, part))
    return pieces


def _local_names(analyses: dict[str, Analysis], part: str) -> frozenset[str]:
    """Of a part; the preheader stands in the HTML."""
    names = (analyses.get(part) or analyses["html"]).local_names
    above = analyses.get("preheader") if part == "html" else None
    return names | above.local_names if above else names


def _headers(campaign: Campaign, sender: Sender) -> tuple[tuple[str, str], ...]:
    domain = sender.email.rpartition("@")[2]
    if campaign.kind is CampaignKind.TRANSACTIONAL:
        # One name for all mails of a kind: Gmail's figures are about many, not about one.
        label = campaign.label or campaign.kind
        return (feedback_id(label, label, domain, campaign.kind),)
    return list_headers(campaign.id, campaign.topic, domain)
