"""Which uses of a variable are excused, decided on the syntax tree."""

import pytest

from mail.people import Person
from tests.mail.authoring import compiled, plain


@pytest.mark.parametrize(
    "source, required",
    [
        ("{{ plan }}", ["plan"]),
        ("{{ plan }}{{ plan }}{{ city }}", ["plan", "city"]),
        ("{{ plan | upcase }}", ["plan"]),
        ("{{ plan | default: 'x' }}", []),
        ("{{ plan | default: '' | upcase }}", []),
        ("{{ plan | upcase | default: 'x' }}", ["plan"]),
        ("{{ plan | default: city }}", ["city"]),
        ("{{ plan | default: 'x' }}{{ plan }}", ["plan"]),
        ("{% if plan %}{{ plan }}{% endif %}", []),
        ("{% if plan %}x{% endif %}", []),
        ("{% if plan %}x{% endif %}{{ plan }}", ["plan"]),
        ("{% if plan %}{{ city }}{% endif %}", ["city"]),
        ("{% if plan and city %}{{ plan }}{{ city }}{% endif %}", []),
        ("{% if plan or city %}{{ plan }}{% endif %}", []),
        ("{% if plan and plan == 'pro' %}x{% endif %}", []),
        ("{% if plan == 'pro' %}x{% endif %}", ["plan"]),
        ("{% if plan == 'pro' %}{{ plan }}{% endif %}", ["plan"]),
        ("{% if plan != blank %}{{ plan }}{% endif %}", ["plan"]),
        ("{% if tags contains 'a' %}x{% endif %}", ["tags"]),
        ("{% unless plan %}{{ plan }}{% endunless %}", []),
        ("{% unless plan %}x{% else %}{{ plan }}{% endunless %}", []),
        ("{% if plan %}x{% else %}{{ plan }}{% endif %}", []),
        ("{% if plan %}{% for i in (1..2) %}{{ plan }}{% endfor %}{% endif %}", []),
        ("{% if true %}x{% elsif plan %}{{ plan }}{% endif %}", []),
        ("{% if true %}{{ plan }}{% elsif plan %}x{% endif %}", ["plan"]),
        ("{% if true %}x{% elsif plan %}x{% else %}{{ plan }}{% endif %}", []),
        ("{% case plan %}{% when 'a' %}x{% endcase %}", ["plan"]),
        ("{% case plan %}{% when city %}x{% endcase %}", ["plan", "city"]),
        ("{% for x in products %}{{ x }}{{ x.name }}{{ forloop.index }}{% endfor %}", ["products"]),
        ("{% for x in products %}x{% endfor %}{{ x }}", ["products", "x"]),
        (
            "{% for x in products %}{% for y in x.parts %}{{ y }}{% endfor %}{% endfor %}",
            ["products"],
        ),
        ("{% for x in products limit: n %}{% endfor %}", ["products", "n"]),
        ("{% if products %}{% for x in products %}{{ x }}{% endfor %}{% endif %}", []),
        ("{% for i in (1..n) %}x{% endfor %}", ["n"]),
        ("{% assign p = plan %}{{ p }}", ["plan"]),
        ("{% assign p = plan | default: 'x' %}{{ p }}", []),
        ("{{ p }}{% assign p = 1 %}{{ p }}", ["p"]),
        ("{% capture c %}{{ plan }}{% endcapture %}{{ c }}", ["plan"]),
        ("{% increment n %}{{ n }}", []),
        ("{% echo plan %}", ["plan"]),
        ("{% liquid\nif plan\necho plan\nendif\necho city\n%}", ["city"]),
        ("{{ address.city }}", ["address.city"]),
        ("{% if address %}{{ address.city }}{% endif %}", ["address.city"]),
        ("{% if address.city %}{{ address.city }}{% endif %}", []),
        ("{{ tags.size }}{{ tags[0] }}{{ tags.first }}", ["tags"]),
        ("{{ ['first plan'] }}", ["first plan"]),
        ("{{ a[b] }}", ["a", "b"]),
        ("{{ name }}{{ first_name }}", ["name", "first_name"]),
        ("{{ email }}{{ unsubscribe_url }}{{ preferences_url }}{{ view_url }}", []),
        ("{{ campaign.id }}{{ campaign.name }}{{ campaign.subject }}", []),
        ("{% comment %}{{ plan }}{% endcomment %}", []),
        ("{% raw %}{{ plan }}{% endraw %}", []),
        ("{{ 'plan' }}", []),
        ("<a href='https://a.example/{{ plan }}'>x</a>", ["plan"]),
    ],
)
def test_a_use_without_excuse_is_required(source: str, required: list[str]) -> None:
    assert list(plain(source).required_variables()) == required


def test_each_use_says_where_it_stands() -> None:
    campaign = plain("a\n{{ plan }}\n\n{{ city | default: 'x' }}", subject="{{ plan }}", text="x")
    found = [(use.name, use.part, use.line, use.required) for use in campaign.variables]
    assert found == [
        ("plan", "subject", 1, True), ("plan", "html", 2, True), ("city", "html", 4, False),
    ]  # fmt: skip


def test_lines_are_the_authors_own_though_we_add_to_the_source() -> None:
    source = '<a href="https://a.example/">a</a>\n<p>{{ plan }}</p>\n</body>\n{{ city }}'
    campaign = compiled(source)
    assert [(use.name, use.line) for use in campaign.variables] == [("plan", 2), ("city", 4)]


def test_missing_names_what_a_person_lacks() -> None:
    campaign = plain("{{ plan }}{{ address.city }}{{ name }}")
    present = {"plan": "", "address": {"city": "x"}}
    assert campaign.missing(Person("a@example.org", "A", present)) == ()
    absent = {"plan": None, "address": "text"}
    assert campaign.missing(Person("a@example.org", "", absent)) == ("plan", "address.city", "name")
