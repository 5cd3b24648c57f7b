"""A campaign's source becomes static text and slots; filled, they are what the engine prints."""

import json
from contextlib import suppress

import pytest

from database.models import CampaignKind
from mail.liquid import TemplateError, environment
from mail.message import slots_of
from mail.people import RenderError
from tests.mail.authoring import (
    ADDRESS,
    CONSENT,
    NONCE,
    PUBLIC,
    TRACKING,
    compiled,
    html_of,
    plain,
    somebody,
    subject_of,
    text_of,
)
from utils.signing import SendRef

PRO = {"plan": "pro", "city": "Zürich"}


def test_every_part_is_filled_for_the_person() -> None:
    campaign = plain("<p>{{ plan }}</p>", subject="{{ name }}: {{ plan }}", text="{{ city }}")
    message = campaign.render(somebody(PRO))
    assert subject_of(campaign, message) == "Anna Berg: pro"
    assert html_of(campaign, message) == "<p>pro</p>"
    assert text_of(campaign, message) == "Zürich"
    assert message.send_id == f"{NONCE}-1"
    assert message.to == "anna@example.org"


def test_a_variable_used_often_has_one_slot_for_each_kind_of_place() -> None:
    campaign = plain("{{ plan }} {{ plan }} {{plan}}", text="{{ plan }}", subject="{{ plan }}")
    message = campaign.render(somebody(PRO))
    content = campaign.content
    assert len(slots_of(content.subject, content.html, content.text)) == 3
    assert html_of(campaign, message) == "pro pro pro"


@pytest.mark.parametrize(
    "value, html, text",
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;", None),
        ("{{ 7 | times: 7 }}", "{{ 7 | times: 7 }}", None),
        ("{% for x in (1..9) %}", "{% for x in (1..9) %}", None),
        ("-name-", "-name-", None),
        ("-abcdefgh0-", "-abcdefgh0-", None),
        ("{{{ pm:unsubscribe }}}", "{{{ pm:unsubscribe }}}", None),
        ("""O'Neil & "Sons\"""", "O&#39;Neil &amp; &#34;Sons&#34;", None),
        ("👩‍👩‍👧 नमस्ते", "👩‍👩‍👧 नमस्ते", None),
        ("two\r\nlines", "two\r\nlines", None),
        ("nul\0less", "nulless", "nulless"),
        ("lone \ud83d half", "lone  half", "lone  half"),
        ("", "", None),
        (0, "0", None),
        (1.5, "1.5", None),
        (True, "true", None),
        (False, "false", None),
        (["a", "<"], "a&lt;", "a<"),
    ],
)
def test_a_value_is_escaped_for_its_place_and_never_evaluated(
    value: object, html: str, text: str | None
) -> None:
    campaign = plain("[{{ x }}]{% if x != nil %}[{{ x }}]{% endif %}", text="[{{ x }}]")
    message = campaign.render(somebody({"x": value}))
    assert html_of(campaign, message) == f"[{html}][{html}]"
    assert (
        text_of(campaign, message)
        == f"[{value if text is None and isinstance(value, str) else text or html}]"
    )
    html_of(campaign, message).encode()


@pytest.mark.parametrize(
    "value", ["a\r\nBcc: x@example.org", "a\nb", "a\x0bb", "a\u2028b", "a\x85b"]
)
@pytest.mark.parametrize(
    "source", ["{{ x }}", "{% if x %}{{ x }}{% endif %}", "{{ y | default: x }}"]
)
def test_no_value_breaks_the_subject_line(value: str, source: str) -> None:
    campaign = plain("x", subject=source)
    subject = subject_of(campaign, campaign.render(somebody({"x": value, "y": None})))
    assert len(subject.splitlines()) == 1
    assert subject.isprintable()


def test_a_subject_written_over_two_lines_becomes_one() -> None:
    campaign = plain("x", subject="Hello\r\nBcc: x@example.org {{ plan }}")
    assert subject_of(campaign, campaign.render(somebody(PRO))) == "Hello Bcc: x@example.org pro"


DEFAULTS: list[tuple[object, str]] = [
    (None, "<b>none</b>"),
    ("", "<b>none</b>"),
    (False, "<b>none</b>"),
    ([], "<b>none</b>"),
    (0, "0"),
    (" ", " "),
    ("x", "x"),
]


@pytest.mark.parametrize("value, printed", DEFAULTS)
def test_default_replaces_what_is_missing_false_or_empty(value: object, printed: str) -> None:
    campaign = plain("{{ x | default: '<b>none</b>' }}")
    assert html_of(campaign, campaign.render(somebody({"x": value}))) == printed


def test_what_one_node_assigns_the_next_one_sees() -> None:
    campaign = plain(
        "{% assign up = plan | upcase %}<p>{{ up }}</p>text"
        "{% capture c %}<i>{{ city }}</i>{% endcapture %}"
        "{% if up == 'PRO' %}{{ c }}{% endif %}{{ up }}"
    )
    html = html_of(campaign, campaign.render(somebody(PRO)))
    assert html == "<p>PRO</p>text<i>Zürich</i>PRO"


def test_names_assigned_in_one_part_do_not_leak_into_another() -> None:
    campaign = plain(
        "{{ x | default: 'outer' }}", subject="{% assign x = 1 %}{{ x }}", allow_missing=True
    )
    message = campaign.render(somebody())
    assert (subject_of(campaign, message), html_of(campaign, message)) == ("1", "outer")


def test_one_persons_fault_stops_nobody_else() -> None:
    campaign = plain("{{ plan }}{% if n %}{{ n | divided_by: d }}{% endif %}")
    rows = [
        somebody({"plan": "a"}),
        somebody({}),
        somebody({"plan": None}),
        somebody({"plan": "b", "n": 1, "d": 0}),
        (5, "x@example.org", "", "x@example.org", {"plan": "c", "d": 1}),
    ]
    results = campaign.render_many(rows)
    reasons = [r.reason if isinstance(r, RenderError) else "" for r in results]
    assert reasons[1:3] == ["missing_variable: plan"] * 2
    assert reasons[3].startswith("missing_variable: d") or reasons[3].startswith("template: ")
    assert not isinstance(results[0], RenderError) or reasons[0] == "missing_variable: d"
    assert reasons[4] == ""


@pytest.mark.parametrize(
    "attributes",
    [{"plan": "a", "city": "Zürich"}, {"plan": "<b>", "city": 5}, {"plan": "a"}, {}, None],
)
@pytest.mark.parametrize("source", ["{{ name }}{{ plan }}{{ city }}", "{% if plan %}p{% endif %}"])
def test_attributes_may_come_as_the_json_of_a_database(
    attributes: dict[str, object] | None, source: str
) -> None:
    campaign = plain(source)
    known = json.dumps(attributes)
    for name in ("Ann", ""):
        row = (5, "x@example.org", name, "x@example.org")
        parsed, raw = campaign.render_many([(*row, attributes), (*row, known)])
        assert repr(parsed) == repr(raw)


@pytest.mark.parametrize("plan", ["a^b", "^", "", "a\nb", "<^>", 7, 0, False, ["x"], {"x": 1}])
@pytest.mark.parametrize("city", ["Zürich & Co", "^", 5])
def test_unusual_values_change_nothing_for_their_neighbours(plan: object, city: object) -> None:
    campaign = plain("{{ name }}|{{ plan }}|{{ city }}", subject="{{ city }}", text="{{ plan }}")
    whole = plain("{% if true %}{{ name }}|{{ plan }}|{{ city }}{% endif %}")
    person = somebody({"plan": plan, "city": city}, name="O'Neill ^")
    message = campaign.render(person)
    assert html_of(campaign, message) == html_of(whole, whole.render(person))
    assert subject_of(campaign, message) == str(city)


def test_values_that_are_too_long_together_fail_the_person() -> None:
    campaign = plain("{{ city }}{{ plan }}{{ plan }}", text="-")
    fits = campaign.render(somebody({"city": "x" * 400_000, "plan": "y" * 300_000}))
    assert len(html_of(campaign, fits)) == 1_000_000
    with pytest.raises(RenderError, match="longer than 1000000 characters"):
        campaign.render(somebody({"city": "x" * 400_001, "plan": "y" * 300_000}))


def test_a_failing_filter_names_itself() -> None:
    campaign = plain("{{ n | divided_by: 0 }}")
    with pytest.raises(RenderError, match=r"^template: .*"):
        campaign.render(somebody({"n": 1}))


def test_missing_is_allowed_when_the_author_says_so() -> None:
    campaign = plain("[{{ plan }}][{{ plan | upcase }}]", allow_missing=True)
    assert campaign.required_variables() == ()
    assert html_of(campaign, campaign.render(somebody())) == "[][]"


@pytest.mark.parametrize(
    "attributes, name, first",
    [
        ({"first_name": "Bo"}, "Anna Berg", "Bo"),
        ({"first_name": ""}, "Anna Berg", "Anna"),
        ({}, "  Anna  Berg", "Anna"),
        ({"first_name": ""}, "", ""),
        (None, "Anna", "Anna"),
    ],
)
def test_the_first_name_is_the_attribute_or_the_first_word(
    attributes: dict[str, object] | None, name: str, first: str
) -> None:
    campaign = plain("{{ first_name }}")
    assert html_of(campaign, campaign.render(somebody(attributes, name=name))) == first


def test_a_person_without_any_name_lacks_both_names() -> None:
    for variable in ("name", "first_name"):
        campaign = plain(f"{{{{ {variable} }}}}")
        with pytest.raises(RenderError, match=f"missing_variable: {variable}"):
            campaign.render(somebody({}, name=""))


def test_our_own_names_win_over_attributes() -> None:
    campaign = plain("{{ email }} {{ name }} {{ campaign.name }} {{ unsubscribe_url }}")
    forged = {"email": "x", "name": "y", "campaign": {"name": "z"}, "unsubscribe_url": "w"}
    html = html_of(campaign, campaign.render(somebody(forged)))
    token = CONSENT.token(SendRef(NONCE, 1))
    assert html == f"Anna@example.org Anna Berg Spring {PUBLIC}/unsubscribe/{token}"


def test_own_variables_mean_the_same_inside_logic() -> None:
    source = "{{ view_url }}|{{ preferences_url }}|{{ campaign.id }}|{{ campaign.subject }}"
    campaign = plain(source + "#{% if true %}" + source + "{% endif %}", subject="A & B")
    one, two = html_of(campaign, campaign.render(somebody())).split("#")
    assert one == two
    assert one.endswith("|7|A &amp; B")
    assert f"{PUBLIC}/v/{TRACKING.token(SendRef(NONCE, 1))}" in one


def test_tokens_in_a_message_are_readable_for_their_purpose_only() -> None:
    campaign = compiled('<a href="https://example.net/">x</a>')
    html = html_of(campaign, campaign.render(somebody(send_id=42)))
    tracking = html.split(f"{PUBLIC}/c/")[1].split("/")[0]
    consent = html.split(f"{PUBLIC}/unsubscribe/")[1].split('"')[0]
    assert TRACKING.read(tracking) == CONSENT.read(consent) == SendRef(NONCE, 42)
    assert TRACKING.read(consent) is None
    assert CONSENT.read(tracking) is None


def test_compiling_twice_gives_the_same_slots_and_links() -> None:
    html = (
        "{% for p in products %}{{ p }}{% endfor %}"
        "<a href='https://a.example/{{ plan }}'>{{ plan }}</a>"
    )
    one, two = compiled(html, subject="{{ name }}"), compiled(html, subject="{{ name }}")
    assert one.links == two.links
    for attribute in ("subject", "html", "text", "slot_count", "headers"):
        assert getattr(one.content, attribute) == getattr(two.content, attribute)
    person = somebody({"products": ["a"], "plan": "x"})
    assert one.render(person) == two.render(person)


def test_problems_of_all_parts_are_reported_together_with_their_lines() -> None:
    with pytest.raises(TemplateError) as caught:
        plain("ok\n{{ a | nope }}\n{% if x %}", subject="{{ }}", text="\n\n{% endfor %}")
    found = [(p.part, p.line) for p in caught.value.problems]
    assert found == [("subject", 1), ("html", 3), ("text", 3)]


@pytest.mark.parametrize(
    "html, line, words",
    [
        ("a\n{{ x", 2, "never closed"),
        ("a\n\n{% raw %}", 3, "endraw"),
        ("{% comment %}\n{% if %}", 1, "comment"),
        ("\n{% include 'x' %}", 2, "include"),
        ("\n{% render 'x' %}", 2, "render"),
        ("{{ x | safe }}", 1, "unknown filter 'safe'"),
        ("\n{{ x | upcase | nope }}", 2, "unknown filter 'nope'"),
        ("{% break %}", 1, "outside a loop"),
        ("\n{% assign unsubscribe_url = 'x' %}", 2, "cannot be assigned"),
        ("{% for view_url in x %}{% endfor %}", 1, "cannot be assigned"),
        ("{% capture _tracking_token %}{% endcapture %}", 1, "cannot be assigned"),
        ("{{ campaign.nope }}", 1, "campaign has"),
        ("{% for i in (1..10001) %}{% endfor %}", 1, "range of more than"),
        ("{{ (1..100000000) | join: '' }}", 1, "range of more than"),
        ("{% assign n = 99 %}\n{{ (1..n) | join: '' }}", 2, "variable end"),
        ("{% for i in (1..n) reversed %}{% endfor %}", 1, "variable end"),
        ("{% assign r = (1..n) %}", 1, "variable end"),
        ("{%" + " " * 50_000 + "%}", 1, "never closed"),
        ("{{" + " " * 5_000 + "}}", 1, "empty tag"),
        ("{% liquid\nassign a = 1\necho b | nope\n%}", 3, "nope"),
        ("{% if a %}\n{% for x in y %}\n{% endif %}", 3, "endif"),
        ("{{ a }}" * 5_001, 1, "more than 5000 tags"),
        (
            "\n{{ a | upcase }}" + f"{{{{ a | append: '{'x' * 19_000}' }}}}\n" * 9,
            9,
            "characters in tags",
        ),
        ("\n{{ a | slice }}", 2, "'slice' takes 1 to 2 arguments"),
        ("\n{{ a | default: b, c }}", 2, "'default' takes 0 to 1 arguments"),
        ("\n{{ a | upcase: 1 }}", 2, "'upcase' takes 0 arguments"),
        ("{% if a %}\n{% else if b %}x{% endif %}", 2, "write elsif"),
        ("{% if a %}\n{% elif b %}x{% endif %}", 2, "unexpected tag 'elif'"),
        ("\n{% end if %}", 2, "unexpected tag 'end'"),
        ("\n{% endif %}", 2, "unexpected tag 'endif'"),
        ("\n{% if a = b %}x{% endif %}", 2, "found '='"),
        ("\n{% if a && b %}x{% endif %}", 2, "unexpected '&'"),
        ("\n{% if %}x{% endif %}", 2, "missing expression"),
        ("\n{% unless a %}\nx", 2, "endunless"),
        ("\n{% for x of y %}{% endfor %}", 2, "expected in"),
        ("\n{% assign x == 1 %}", 2, "expected '='"),
        ("\n{% capture %}{% endcapture %}", 2, "missing expression"),
        ("\n{% case a %}\n{% when %}x{% endcase %}", 3, "missing expression"),
        ('\n{{ name | default "x" }}', 2, "found string"),
        ("\n{{ name | default: “x” }}", 2, "unexpected '“'"),
        ("\n{{ first name }}", 2, "found word"),
        ("\n{{ 'it's' }}", 2, "unexpected"),
        ("\n{{ user['name' }}", 2, "path segment"),
        ("\n{{ name }", 2, "never closed"),
        ("\n{{ 7*7 }}", 2, "unexpected '*'"),
        ("\n{{#if a}}x{{/if}}", 2, "unexpected '#'"),
        ("\n{{{ name }}}", 2, "unexpected '{'"),
        ("{% cycle " + "1," * 101 + "1 %}", 1, "cycle of more than"),
        ("\n{% if (1..9) contains 'x' %}x{% endif %}", 2, "compare with"),
        ("\n{% for i in (1..n) offset: 5 %}{% endfor %}", 2, "reversed or offset"),
        ("<b>" * 20_001, 1, "tags of HTML"),
        ("{% if true %}" * 500 + "{% endif %}" * 500, 1, "nest"),
    ],
)
def test_a_source_that_cannot_work_is_refused_with_its_line(
    html: str, line: int, words: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        plain(html)
    problem = caught.value.problems[0]
    assert words in problem.message
    assert (problem.part, problem.line) == ("html", line)


def test_a_source_may_be_half_a_megabyte_and_not_more() -> None:
    plain("x" * 500_000)
    with pytest.raises(TemplateError, match="longer than"):
        plain("x" * 500_001)
    with pytest.raises(TemplateError, match="neither html nor text"):
        plain()


def test_logic_that_is_repeated_word_for_word_has_one_slot() -> None:
    cell = "<td {% if dark %}bgcolor='#000'{% endif %}>{{ plan | upcase }}</td>"
    campaign = plain(cell * 3)
    message = campaign.render(somebody(PRO | {"dark": True}))
    assert html_of(campaign, message) == "<td bgcolor='#000'>PRO</td>" * 3
    assert len(slots_of(campaign.content.html)) == 2


def test_repeated_logic_sees_what_was_assigned_in_between() -> None:
    once = "{% if x %}[{{ x | append: '' }}]{% endif %}"
    campaign = plain(
        f"{once}{{% assign x = 2 %}}.{once}{{% assign x = 3 %}}.{once}{{% cycle 1, 2 %}}"
    )
    message = campaign.render(somebody({"x": "1"}))
    assert html_of(campaign, message) == "[1].[2].[3]1"


@pytest.mark.parametrize("name", sorted(environment(autoescape=True).filters))
@pytest.mark.parametrize("arguments", ["", ": 'x'", ": v", ": 'x', v", ": 1, v"])
def test_no_filter_lets_markup_through(name: str, arguments: str) -> None:
    try:
        campaign = plain(f"{{{{ v | {name}{arguments} }}}}", allow_missing=True)
    except TemplateError:
        return  # it takes more arguments, or fewer
    for value in ("<script>", "%3Cscript%3E", "PHNjcmlwdD4=", "&lt;script&gt;", "<a\n<script>"):
        for given in (value, [value], {"x": value}):
            result = campaign.render_many([somebody({"v": given})])[0]
            if not isinstance(result, RenderError):
                assert "<script" not in html_of(campaign, result)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "{{ a }}",
        "{% if a %}b{% endif %}",
        "<a href='https://a.example/'>{{ a }}",
        "{% raw %}",
        "{{",
        "{%",
        "{% comment %}",
        "<a ",
        "<!--",
        '<a href="',
        "<style>",
        "{{ x }",
        "<a href='{{",
    ],
)
def test_compiling_takes_linear_time_whatever_is_repeated(piece: str) -> None:
    with suppress(TemplateError):
        compiled(piece * (300_000 // len(piece)))


def test_transactional_mail_gets_no_footer_and_no_list_headers() -> None:
    campaign = plain("<p>Your receipt</p>")
    assert campaign.content.html == ("<p>Your receipt</p>",)
    assert campaign.content.personal_headers == ()
    assert [name for name, _ in campaign.content.headers] == ["Feedback-ID"]


def test_a_test_mail_is_made_like_the_campaign() -> None:
    campaign = compiled("<p>x</p>", kind=CampaignKind.TEST)
    assert campaign.content.personal_headers == ("List-Unsubscribe",)
    assert ADDRESS.splitlines()[0] in html_of(campaign, campaign.render(somebody()))
