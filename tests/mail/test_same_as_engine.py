"""For any template and any person, filled slots are exactly what one render by the engine gives."""

from typing import Any

import liquid
from hypothesis import given, settings
from hypothesis import strategies as st
from liquid.token import TOKEN_OUTPUT, TOKEN_TAG

from mail.liquid import Kind, TemplateError, environment, parse, scan
from mail.people import RenderError
from tests.mail.authoring import html_of, plain, somebody, subject_of, text_of

NAMES = ["plan", "city", "items", "a", "first_name", "name", "email"]
words = st.sampled_from(
    [
        "Hello",
        " ",
        "\n",
        "  \r\n",
        "<b>",
        "</b>",
        "{ ",
        "} ",
        "%",
        "&amp;",
        "-",
        "'",
        "ä",
        "{ x }",
        "#",
    ]
)
names = st.sampled_from([*NAMES, "plan.x", "items[0]", "items.size", "['city']"])
literals = st.sampled_from(["'x'", '"<i>&"', "1", "2.5", "true", "nil", "''", "city"])
filters = st.one_of(
    st.just(""),
    literals.map(lambda x: f" | default: {x}"),
    st.sampled_from([" | upcase", " | size", " | escape", " | append: '<br>'", " | join: ', '",
                     " | default: 'x' | upcase", " | upcase | default: 'none'", " | first",
                     " | strip_html", " | newline_to_br", " | url_encode", " | split: 'a'"]),
)  # fmt: skip
dash = st.sampled_from(["", "", "", "-"])
outputs = st.tuples(dash, names | literals, filters, dash).map(
    lambda p: f"{{{{{p[0]} {p[1]}{p[2]} {p[3]}}}}}"
)
operators = st.sampled_from(["==", "!=", "and", "or", "contains"])
conditions = st.one_of(names, st.tuples(names, operators, literals).map(" ".join))


def _blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Blocks around what `inner` draws."""
    local = st.sampled_from(NAMES[:4])

    def block(pattern: str, *drawn: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*drawn).map(lambda parts: pattern % parts)

    return st.one_of(
        block("{%%%s if %s %%}%s{%% else %%}%s{%% endif -%%}", dash, conditions, inner, inner),
        block("{%% unless %s %%}%s{%% endunless %%}", conditions, inner),
        block("{%% for a in %s %%}%s{{ forloop.index }}{%% endfor %%}", names, inner),
        block("{%% case %s %%}{%% when %s %%}%s{%% else %%}%s{%% endcase %%}",
              names, literals, inner, inner),
        block("{%% capture %s %%}%s{%% endcapture %%}", local, inner),
        block("{%% assign %s = %s%s %%}", local, names, filters),
        block("{%% comment %%}%s{%% endcomment %%}", inner),
        block("{%% raw %%}{{ %s }}{%%- endraw -%%}", words),
        block("{%%%s %s %s%%}", dash,
              st.sampled_from(["increment n", "cycle 'a', 'b'", "echo plan", "# note"]), dash),
    )  # fmt: skip


sources = st.recursive(
    st.lists(st.one_of(words, outputs), max_size=5).map("".join),
    lambda inner: st.lists(_blocks(inner) | inner, min_size=1, max_size=4).map("".join),
    max_leaves=8,
)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.floats(-2, 2),
        st.text(max_size=12).map(lambda s: s.replace("\0", "")),
        st.sampled_from(["{{ 7 | times: 7 }}", "{% if x %}", "<script>'\"&", "a\r\nb", "👩‍👧"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
    ),
    max_leaves=4,
)  # fmt: skip
people = st.dictionaries(st.sampled_from(NAMES[:5]), values, max_size=5)


class _Limits(liquid.Environment):
    context_depth_limit = 20


def _whole(source: str, autoescape: bool, known: dict[str, Any]) -> str | None:
    try:
        text = _Limits(autoescape=autoescape).from_string(source).render(known)
    except Exception:  # noqa: BLE001
        return None
    return text.replace("\r\n", "\n")


@settings(max_examples=400, deadline=None)
@given(sources, people)
def test_filled_slots_are_what_the_engine_prints(source: str, attributes: dict[str, Any]) -> None:
    campaign = plain(source, text=source, allow_missing=True)
    first = attributes.get("first_name") or "Anna"
    known = attributes | {"email": "Anna@example.org", "name": "Anna Berg", "first_name": first}
    known = {name: value for name, value in known.items() if value is not None}
    expected = _whole(source, True, known), _whole(source, False, known)
    try:
        message = campaign.render(somebody(attributes))
    except RenderError:
        assert None in expected
        return
    found = html_of(campaign, message), text_of(campaign, message)
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs is None or ours.replace("\r\n", "\n") == theirs


@settings(max_examples=200, deadline=None)
@given(sources, people)
def test_a_subject_is_always_one_line(source: str, attributes: dict[str, Any]) -> None:
    campaign = plain("x", subject=source[:900] if len(source) < 900 else "x", allow_missing=True)
    try:
        subject = subject_of(campaign, campaign.render(somebody(attributes)))
    except RenderError:
        return
    assert "".join(subject.splitlines()) == subject


@settings(max_examples=300, deadline=None)
@given(sources)
def test_tags_are_found_where_the_engine_finds_them(source: str) -> None:
    tokens = environment(autoescape=True).tokenizer()(source)
    engine = [t.start_index for t in tokens if t.kind in {TOKEN_OUTPUT, TOKEN_TAG}]
    printing = [s for s in scan(source) if s.kind in {Kind.OUTPUT, Kind.TAG}]
    inside = [s for s in scan(source) if s.kind is Kind.COMMENT]
    ours = [s.start for s in printing]
    theirs = [
        start if source[start] == "{" else source.rindex("{%", 0, start)
        for start in engine
        if not any(c.start < start < c.end for c in inside)
    ]
    assert ours == theirs


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="{}%-# ab|'\n<>", max_size=60))
def test_any_text_is_read_or_refused_like_the_engine_does(source: str) -> None:
    try:
        parse(source, "text")
    except TemplateError:
        return
    environment(autoescape=False).from_string(source)
