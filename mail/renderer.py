"""The loop's inner part: one person's slot values. Whatever can be decided once for a campaign is
decided when the function is made, since it runs for every recipient."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from orjson import loads

from mail.budget import OUTPUT_LIMIT
from mail.headers import unsubscribe_frame
from mail.message import Content, Message, slots_of
from mail.people import RenderError, escape_html, look_up, values_of
from mail.slots import CONSENT_SLOT, TRACKING_SLOT, Plain, Slots, place_odd, run_logic
from utils.signing import Signer

#: Send id, to, name, email, attributes (or their JSON): a Recipient, or a tuple in its order.
Row = tuple[int, str, str, str, dict[str, Any] | str | None]
Render = Callable[[Sequence[Row]], list[Message | RenderError]]  #: one result for each, in order
_Values = dict[str, Any]
_Tokens = tuple[str, str]  #: for tracking, for consent

#: Printable, so that it passes where the values around it must, and untouched by escaping. A value
#: that has it takes the careful way.
_SEPARATOR = "^"
_TOKEN_LENGTH = 40


class Urls(NamedTuple):
    """Where our public pages are, and who signs the tokens in their addresses."""

    public_url: str
    tracking: Signer
    consent: Signer


def make_renderer(
    content: Content,
    slots: Slots,
    urls: Urls,
    *,
    required: Collection[str],
    mailto: str | None,
    campaign: dict[str, object],
) -> Render:
    """The function that makes messages: one person's fault stops nobody else."""
    prefix, logics = f"{content.nonce}-", slots.logics
    plains = list(slots.plains.values())
    check_present = _checker(required)
    sign, check_length = _signer(content, urls, everything=bool(logics)), _length_check(content)
    carefully = _careful_placer(plains, content.slot_count, check_present, check_length)
    place = _placer(plains, content, carefully)
    # Who lacks a variable that is placed shows there; the others are looked for first.
    placed = {plain.path for plain in plains}
    look_first = bool(logics) or any(tuple(name.split(".")) not in placed for name in required)
    # First name and address only where they are used: they take longer than the values' places.
    whole = look_first or any(plain.path[0] in ("first_name", "email") for plain in plains)
    personal = bool(content.personal_headers)
    frame = unsubscribe_frame(urls.public_url, mailto)
    new = tuple.__new__  # a NamedTuple's own is a Python function around it

    def render(rows: Sequence[Row]) -> list[Message | RenderError]:
        results: list[Message | RenderError] = []
        signed = sign([row[0] for row in rows])
        for (send_id, to, name, email, known), tokens in zip(rows, signed, strict=True):
            # Read in this person's turn: a batch of dictionaries would not stay in the cache.
            values = loads(known) if isinstance(known, str) else dict(known or {})
            if whole or not name or not values:
                values = values_of(name, email, values)
            else:
                values["name"] = name
            try:
                if look_first:
                    check_present(values)
                filled = place(values, tokens)
                if logics:
                    filled = _with_logic(slots, campaign, values, filled)
                    check_length(filled)
            except RenderError as error:
                results.append(error)
                continue
            headers = (tokens[CONSENT_SLOT].join(frame),) if personal else ()
            results.append(new(Message, (f"{prefix}{send_id}", to, filled, headers)))
        return results

    return render


def _with_logic(
    slots: Slots, campaign: dict[str, object], values: _Values, placed: Sequence[str]
) -> tuple[str, ...]:
    """The slots with those that the engine fills."""
    filled = list(placed)
    values["campaign"] = campaign
    for variable, token in slots.tokens.items():
        values[variable] = token.before + filled[token.slot]
    run_logic(slots.logics, values, filled)
    return tuple(filled)


def _checker(required: Collection[str]) -> Callable[[_Values], None]:
    """Refuses a person who lacks a variable, by the first one."""
    plain = [name for name in required if "." not in name]
    dotted = [(name, tuple(name.split("."))) for name in required if "." in name]

    def check(values: _Values) -> None:
        for name in plain:
            if values.get(name) is None:
                raise RenderError(f"missing_variable: {name}")
        for name, path in dotted:
            if look_up(values, path) is None:
                raise RenderError(f"missing_variable: {name}")

    return check


def _signer(
    content: Content, urls: Urls, *, everything: bool
) -> Callable[[Sequence[int]], list[_Tokens]]:
    """Makes the tokens, as far as they are used; they are the first two slots."""
    used = slots_of(content.subject, content.html, content.text)
    needs_tracking = everything or TRACKING_SLOT in used
    needs_consent = everything or CONSENT_SLOT in used or content.personal_headers
    if needs_tracking and needs_consent:
        return urls.tracking.pairs_of_campaign(urls.consent, content.nonce)
    tracking, consent = (signer.of_campaign(content.nonce) for signer in urls[1:])
    if needs_tracking:
        return lambda send_ids: [(tracking(send_id), "") for send_id in send_ids]
    if needs_consent:
        return lambda send_ids: [("", consent(send_id)) for send_id in send_ids]
    return lambda send_ids: [("", "")] * len(send_ids)


def _times(content: Content) -> Counter[int]:
    """How often each slot stands in a message."""
    pieces = [*content.subject, *(content.html or ()), *(content.text or ())]
    return Counter(piece for piece in pieces if isinstance(piece, int))


def _length_check(content: Content) -> Callable[[Sequence[str]], None]:
    """Refuses a person whose values make the message too long."""
    times = _times(content)

    def check(slots: Sequence[str]) -> None:
        if sum(len(slots[slot]) * count for slot, count in times.items()) > OUTPUT_LIMIT:
            raise RenderError(f"template: the values are longer than {OUTPUT_LIMIT} characters")

    return check


def _safe_length(plains: Collection[Plain], content: Content) -> int:
    """As long may all values of plain variables be together, escaped: wherever they stand, the
    message is not too long."""
    times = _times(content)
    tokens = (times[TRACKING_SLOT] + times[CONSENT_SLOT]) * _TOKEN_LENGTH
    most = max((sum(times[slot] for slot in plain.slots.values()) for plain in plains), default=0)
    return (OUTPUT_LIMIT - tokens) // max(1, most)


def _placer(
    plains: Sequence[Plain], content: Content, carefully: "_Carefully"
) -> Callable[[_Values, _Tokens], tuple[str, ...]]:
    """Gives all slots, those of the engine empty. Nearly all values are printable text: they are
    looked at and escaped all at once, since a step for each value would cost more than the work."""
    pick, arrange = _picker([plain.path for plain in plains]), _arrangement(plains, content)
    separators = max(0, len(plains) - 1)
    longest = _safe_length(plains, content)

    def place(values: _Values, tokens: _Tokens) -> tuple[str, ...]:
        try:
            found = pick(values)
            joined = _SEPARATOR.join(found)
        except (KeyError, TypeError):  # one is missing, or no text
            return carefully(values, tokens)
        safe = escape_html(joined)
        if (
            not joined.isprintable()
            or joined.count(_SEPARATOR) != separators
            or not all(found)
            or len(safe) > longest
        ):
            return carefully(values, tokens)
        escaped = found if safe == joined else safe.split(_SEPARATOR)
        return arrange((*tokens, "", *found, *escaped))

    return place


def _picker(paths: Sequence[tuple[str, ...]]) -> Callable[[_Values], Sequence[Any]]:
    """Looks all paths up; a KeyError or None for what is not there."""
    if len(paths) > 1 and all(len(path) == 1 for path in paths):
        return itemgetter(*(root for (root,) in paths))
    return lambda values: [look_up(values, path) for path in paths]


def _arrangement(
    plains: Sequence[Plain], content: Content
) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Orders by slot: two tokens, an empty text, the values as they are, the values escaped."""
    empty = 2
    first, first_escaped = empty + 1, empty + 1 + len(plains)
    order = [TRACKING_SLOT, CONSENT_SLOT, *[empty] * (content.slot_count - 2)]
    for number, plain in enumerate(plains):
        for kind, slot in plain.slots.items():
            order[slot] = number + (first_escaped if kind == "html" else first)
    return itemgetter(*order)


class _Place(NamedTuple):
    path: tuple[str, ...]
    html: int | None
    text: int | None
    subject: int | None
    plain: Plain


_Carefully = Callable[[_Values, _Tokens], tuple[str, ...]]


def _careful_placer(
    plains: Sequence[Plain],
    slot_count: int,
    check_present: Callable[[_Values], None],
    check_length: Callable[[Sequence[str]], None],
) -> _Carefully:
    """Gives all slots, those of the engine empty, whatever the values are. Raises RenderError."""
    places: Sequence[_Place] = [
        _Place(
            plain.path, plain.slots.get("html"), plain.slots.get("text"),
            plain.slots.get("subject"), plain,
        )
        for plain in plains
    ]  # fmt: skip

    def carefully(values: _Values, tokens: _Tokens) -> tuple[str, ...]:
        check_present(values)
        slots = [*tokens, *[""] * (slot_count - 2)]
        for path, html, text, subject, plain in places:
            value = look_up(values, path)
            if value.__class__ is not str or not value or not value.isprintable():
                place_odd(plain, value, slots)
                continue
            if html is not None:
                slots[html] = value if value.isalnum() else escape_html(value)
            if text is not None:
                slots[text] = value
            if subject is not None:
                slots[subject] = value
        check_length(slots)
        return tuple(slots)

    return carefully
