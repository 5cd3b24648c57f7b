# ruff: noqa: E501 (a table: one line for each bomb)
"""Templates that want too much, and people whose attributes help them. None of them is known to
hurt: each is what stopped something somewhere, here or in another engine."""

from typing import Any

#: As large as an attribute may be (utils/attributes.py).
_BIG = "x" * 32_000
#: What a person may bring along: several of the largest attributes that they may have.
VALUES: dict[str, Any] = {
    "big": _BIG, "emoji": "😀" * 8_000, "amp": "&" * 32_000, "newlines": "\n" * 32_000,
    "n": 10**12, "neg": -5, "digits": "9" * 4_300, "long_digits": "9" * 32_000, "f": 1.5,
    "items": list(range(10_000)), "empty": "", "mid": "ab" * 16_000, "colons": "10:" * 10_000,
    "words": " ".join(map(str, range(5_000))), "widths": "%9999999d" * 3_500,
    "tags": "<!--" * 8_000 + ">", "odd_tags": "<a " * 10_000 + ">", "entities": "&" * 32_000 + "<>",
    "deep": {"a": {"b": {"c": [1, [2, [3]]]}}}, "dicts": [{"k": n} for n in range(3_000)],
}  # fmt: skip


def _chain(start: str, step: str, times: int) -> str:
    """One value through the same filter, again and again."""
    return "{{ " + start + f" | {step}" * times + " | size }}"


def _many(pattern: str, times: int) -> str:
    return "".join(pattern.replace("#", str(n)) for n in range(times))


_REFERENCES = "{% assign l = big | split: 'zz' %}" + "{% assign l = l | concat: l %}" * 13

#: Values that grow in one tag.
GROWING = {
    "append": _chain("big", "append: big", 1_200),
    "append emoji": _chain("emoji", "append: emoji", 1_000),
    "prepend": _chain("big", "prepend: big", 1_200),
    "base64": _chain("'x'", "base64_encode", 1_100),
    "url_encode": _chain("amp", "url_encode", 1_400),
    "escape": _chain("amp", "escape", 1_900),
    "escapejs": _chain("amp", "escapejs", 1_500),
    "newline_to_br": _chain("newlines", "newline_to_br", 1_100),
    "replace": "{{ big | replace: 'x', big }}",
    "replace with": _chain("big", "replace: 'x', 'xx'", 900),
    "replace nothing": "{{ big | replace: '', big }}",
    "replace_first": _chain("big", "replace_first: 'x', big", 700),
    "join": "{{ big | split: '' | join: big }}",
    "concat": _chain("items", "concat: items", 1_100),
    "numbers": _chain("digits", "times: digits", 1_100),
    "concat references": _REFERENCES + "{{ l | join: '' | size }}",
    "print references": _REFERENCES + "{{ l }}",
    "text of references": _REFERENCES + "{{ l | upcase | size }}",
    "sort references": _REFERENCES + "{{ l | sort_natural | size }}",
}
#: Work without end, or far too much of it.
WORKING = {
    "nested loops": "{% for a in (1..9999) %}{% for b in (1..9999) %}x{% endfor %}{% endfor %}",
    "three loops": "{% for a in (1..99) %}{% for b in (1..99) %}{% for c in (1..99) %}{% endfor %}{% endfor %}{% endfor %}",
    "range of a value": "{% for a in (1..n) %}x{% endfor %}",
    "range below zero": "{% for i in (neg..n) %}x{% endfor %}",
    "range literal": "{{ (1..100000000) | join: '' }}",
    "range in reverse": "{% for i in (1..n) reversed %}x{% endfor %}",
    "range with an offset": "{% for i in (1..n) limit: 5 offset: 999999999990 %}x{% endfor %}",
    "range that contains": "{% for i in (1..9999) %}{% if (1..9999) contains 'x' %}{% endif %}{% endfor %}",
    "tablerow": "{% tablerow a in (1..9999) cols: 2 %}{% for b in (1..9999) %}x{% endfor %}{% endtablerow %}",
    "loops in liquid": "{% liquid\nfor i in (1..9999)\nfor j in (1..9999)\nendfor\nendfor\n%}",
    "loop of silence": "{% for i in (1..9999) %}" + "{{ empty }}" * 4_900 + "{% endfor %}",
    "loop of ifs": "{% for i in (1..9999) %}"
    + "{% if false %}x{% endif %}" * 2_400
    + "{% endfor %}",
    "loop of filters": "{% for i in (1..9999) %}"
    + "{{ big | size | size }}" * 4_900
    + "{% endfor %}",
    "loop of look-ups": "{% for i in (1..9999) %}"
    + "{% if big contains 'y' %}x{% endif %}" * 2_400
    + "{% endfor %}",
    "loop of assigns": "{% for i in (1..9999) %}" + "{% assign a = big %}" * 4_900 + "{% endfor %}",
    "loop of lists": "{% for i in (1..9999) %}"
    + "{% if items contains 'y' %}x{% endif %}" * 2_400
    + "{% endfor %}",
    "filters without a loop": ("{{ big" + " | upcase | downcase" * 15 + " | size }}") * 400,
    "split and join": ("{{ big" + " | split: '' | join: ''" * 15 + " | size }}") * 300,
    "uniq of a range": "{{ (1..9999) | reverse | uniq | size }}" * 50,
    "uniq of words": "{% assign w = words | split: ' ' %}" + "{{ w | uniq | size }}" * 100,
    "uniq of objects": "{{ dicts | uniq | size }}{{ dicts | uniq: 'k' | size }}" * 20,
    "sort": "{{ (1..9999) | sort | reverse | sort_natural | size }}" * 100,
    "reverse": _chain("items", "reverse", 1_800),
    "compact": _chain("items", "compact", 1_800),
    "squish": _chain("mid", "squish", 1_900),
    "strip_html": _chain("entities", "strip_html", 1_200),
    "strip comments": "{{ tags | strip_html | size }}{{ odd_tags | strip_html | size }}",
    "remove": ("{{ mid" + " | remove: 'aba' | replace: 'a','b' | replace: 'b','a'" * 20 + " }}")
    * 50,
    "date of digits": "{{ long_digits | date: '%Y' }}",
    "date of text": "{{ mid | date: '%Y' }}{{ colons | date: '%Y' }}{{ words | date: '%Y' }}",
    "wide dates": "{{ 'now' | date: '%999999999d' }}{{ 'now' | date: widths }}",
    "long numbers": "{{ f | round: 999999999 }}{{ n | round: -999999999 }}{{ '1e308' | times: '1e308' }}",
    "sum of a huge number": "{{ '1e999999999' | split: ',' | sum }}",
    "slice": "{{ big | slice: 0, 99999999999999999999 }}{{ big | truncate: 99999999999999999999 | size }}",
    "elsif": "{% if false %}" + "{% elsif items contains 'y' %}x" * 4_900 + "{% endif %}",
    "when": "{% case big %}{% when " + ", ".join(["big"] * 3_000) + " %}{{ big }}{% endcase %}",
}
#: What is kept while a message is made.
KEEPING = {
    "assign doubles": "{% assign a = big %}" + "{% assign a = a | append: a %}" * 60,
    "assign in a loop": "{% assign a = 'xxx' %}{% for i in (1..99) %}{% assign a = a | append: a %}{% endfor %}{{ a }}",
    "capture doubles": "{% assign a = 'xx' %}"
    + "{% capture a %}{{ a }}{{ a }}{% endcapture %}" * 60
    + "{{ a }}",
    "captures in captures": "{% capture a %}" * 28 + "{{ big }}" + "{% endcapture %}" * 28,
    "many captures": _many("{% capture a# %}{{ big }}{% endcapture %}", 2_400),
    "many lists": _many("{% assign a# = big | append: '#' | split: 'zz' %}", 2_800),
    "many names": _many("{% assign a# = 1 %}", 4_999),
    "cycle of much": "{% cycle " + ",".join(["big"] * 3_000) + " %}",
    "many cycles": _many("{% cycle '#': 1 %}", 4_999),
    "ifchanged": "{% for i in (1..9999) %}{% ifchanged %}{{ big }}{{ i }}{% endifchanged %}{% endfor %}",
    "printing": "{{ big }}" * 4_999,
    "echoing": "{% liquid\n" + "echo big\n" * 1_900 + "%}",
    "printing in a loop": "{% for i in (1..9999) %}{{ big }}{% endfor %}",
}
#: Sources that take long to read.
READING = {
    "blocks in blocks": "{% if true %}" * 400 + "{% endif %}" * 400,
    "else in else": "{% if n %}{% else %}" * 400 + "{% endif %}" * 400,
    "loops in loops": "{% for i in (1..2) %}" * 25 + "x" + "{% endfor %}" * 25,
    "and": "{% if " + " and ".join(["big"] * 2_400) + " %}x{% endif %}",
    "parentheses": "{% if " + "(" * 3_000 + "n" + ")" * 3_000 + " %}x{% endif %}",
    "not": "{% if " + "not " * 3_000 + "n %}x{% endif %}",
    "brackets": "{{ " + "a[" * 3_000 + "b" + "]" * 3_000 + " }}",
    "a long path": "{{ deep" + ".b" * 9_000 + " }}",
    "long paths": "{{ deep.a.b.c | join }}" * 4_999,
    "filters": ("{{ n" + "|abs" * 30 + " }}") * 1_150,
    "tags": _many("{{ n | default: # }}", 4_999),
    "tags and HTML": _many("<td>{{ n | plus: # }}", 4_990),
    "repeated logic": "{% if n %}{{ big | size }}{% endif %}" * 1_600,
    "braces in raw": "{% raw %}" + "{{" * 240_000 + "{% endraw %}",
    "braces as entities": "&#123;%" * 70_000,
    "open braces": "{" * 490_000,
    "a long tag": "{{ '" + "a" * 400_000 + "' }}",
    "white space": "{%" + " " * 400_000 + "%}",
    "comments": "{% comment %}" * 2_400 + "{% endcomment %}" * 2_400,
    "open comments": "{% comment %}" * 4_900,
    "open strings": "{{ '" * 4_900,
    "elements": "<b>x" * 19_900,
    "elements in elements": "<div>" * 19_000,
    "lists in lists": "<ul><li>" * 9_900,
    "tables in tables": "<table><tr><td>" * 6_600,
    "too many elements": "<b>" * 160_000,
    "attributes": "<a " + "x=1 " * 124_000 + ">",
    "an open quote": '<a href="https://a.example/' + "x" * 490_000,
    "links": _many("<a href='https://a.example/#'>x</a>", 1_999),
    "links with variables": _many("<a href='https://a.example/#{{ n }}'>x</a>", 1_999),
    "a link of choices": "<a href='https://a.example/"
    + "{% if n %}a{% else %}b{% endif %}" * 1_600
    + "'>x</a>",
    "a link of much": "<a href='https://a.example/" + "{{ big }}" * 1_000 + "'>x</a>",
}
BOMBS = GROWING | WORKING | KEEPING | READING
