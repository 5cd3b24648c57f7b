"""The loop's inner part: one person's slot values. Whatever can be decided once for a campaign is
decided when the function is made, since it runs for every recipient."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from mail.headers import unsubscribe_frame
from mail.liquid import OUTPUT_LIMIT
from mail.message import Content, Message, slots_of
from mail.people import RenderError, escape_html, look_up, values_of
from mail.slots import CONSENT_SLOT, TRACKING_SLOT, Plain, Slots, place_odd, run_logic
from utils.signing import Signer

#: Arguments: send id, to, name, email, attributes.
Render = Callable[[int, str, str, str, dict[str, Any] | None], Message]
_Values = dict[str, Any]


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
    """The function that makes one message. Raises RenderError."""
    nonce, empty, logics = content.nonce, [""] * content.slot_count, slots.logics
    check_present = _checker(required)
    sign, place = _signer(content, urls, everything=bool(logics)), _placer(slots.plains.values())
    most, check_length = _length_check(content)
    personal = bool(content.personal_headers)
    frame = unsubscribe_frame(urls.public_url, mailto)

    def render(
        send_id: int, to: str, name: str, email: str, attributes: dict[str, Any] | None
    ) -> Message:
        values = values_of(name, email, attributes)
        check_present(values)
        filled = empty.copy()
        sign(send_id, filled)
        place(values, filled)
        if logics:
            values["campaign"] = campaign
            for variable, token in slots.tokens.items():
                values[variable] = token.before + filled[token.slot]
            run_logic(logics, values, filled)
        if sum(map(len, filled)) * most > OUTPUT_LIMIT:
            check_length(filled)
        headers = (filled[CONSENT_SLOT].join(frame),) if personal else ()
        return Message(f"{nonce}-{send_id}", to, tuple(filled), headers)

    return render


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


def _signer(content: Content, urls: Urls, *, everything: bool) -> Callable[[int, list[str]], None]:
    """Fills the token slots, as far as they are used."""
    used = slots_of(content.subject, content.html, content.text)
    needs_tracking = everything or TRACKING_SLOT in used
    needs_consent = everything or CONSENT_SLOT in used or content.personal_headers
    tracking = urls.tracking.of_campaign(content.nonce) if needs_tracking else None
    consent = urls.consent.of_campaign(content.nonce) if needs_consent else None

    def sign(send_id: int, slots: list[str]) -> None:
        if tracking:
            slots[TRACKING_SLOT] = tracking(send_id)
        if consent:
            slots[CONSENT_SLOT] = consent(send_id)

    return sign


def _length_check(content: Content) -> tuple[int, Callable[[list[str]], None]]:
    """How often a slot stands at most in a message, and the exact check of all values together."""
    pieces = [*content.subject, *(content.html or ()), *(content.text or ())]
    times = Counter(piece for piece in pieces if isinstance(piece, int))

    def check(slots: list[str]) -> None:
        if sum(len(slots[slot]) * count for slot, count in times.items()) > OUTPUT_LIMIT:
            raise RenderError(f"template: the values are longer than {OUTPUT_LIMIT} characters")

    return max(times.values(), default=1), check


class _Place(NamedTuple):
    root: str
    deep: tuple[str, ...] | None  #: the whole path, where it has more than one name
    html: int | None
    text: int | None
    subject: int | None
    plain: Plain


def _placer(plains: Collection[Plain]) -> Callable[[_Values, list[str]], None]:
    """Fills the slots of plain variables. Nearly all values are printable text: they go straight
    to their places, everything else takes the careful way."""
    places: Sequence[_Place] = [
        _Place(
            plain.path[0],
            plain.path if len(plain.path) > 1 else None,
            plain.slots.get("html"),
            plain.slots.get("text"),
            plain.slots.get("subject"),
            plain,
        )
        for plain in plains
    ]

    def place(values: _Values, slots: list[str]) -> None:
        for root, deep, html, text, subject, plain in places:
            value = look_up(values, deep) if deep else values.get(root)
            if value.__class__ is not str or not value or not value.isprintable():
                place_odd(plain, value, slots)
                continue
            if html is not None:
                slots[html] = value if value.isalnum() else escape_html(value)
            if text is not None:
                slots[text] = value
            if subject is not None:
                slots[subject] = value

    return place
