# ruff: noqa: E501, PT017 (tables: one line for each payload; whether one raises is its own matter)
"""What gets out of other engines gets nothing here: an author's escape is refused or prints
nothing, and a value of a person is printed as it is."""

import html

import pytest

from mail.liquid import TemplateError
from mail.people import RenderError
from tests.mail.authoring import html_of, plain, somebody, subject_of, text_of

#: Of Jinja, Twig, ERB, Freemarker, Velocity, Smarty, Handlebars, Mustache, Go, Nunjucks, Django.
ESCAPES = [
    "{{7*7}}", "{{7*'7'}}", "{{ ''.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ().__class__.__base__ }}", "{{ [].__class__ }}", "{{ name.__class__ }}",
    "{{ name['__class__'] }}", '{{ name["__init__"]["__globals__"] }}', "{{ name.upper }}",
    "{{ items.append }}", "{{ items.__len__ }}", "{{ deep.keys }}", "{{ deep.__class__.__name__ }}",
    "{{ forloop.it }}", "{% for x in items %}{{ forloop.it }}{{ forloop.__class__ }}{{ forloop.step }}{% endfor %}",
    "{{ self }}", "{{ self.__init__.__globals__ }}", "{{ config }}", "{{ config.items() }}",
    "{{ request }}", "{{ request.environ }}", "{{ request.application.__globals__ }}", "{{ g }}",
    "{{ url_for.__globals__ }}", "{{ get_flashed_messages.__globals__ }}", "{{ lipsum.__globals__.os }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ joiner }}", "{{ namespace() }}",
    "{{ dict(a=1) }}", "{{ range(9) }}", "{{ ''|attr('__class__') }}", "{{ name|attr('upper') }}",
    "{{ name | map: '__class__' }}", "{{ items | map: '__class__' }}", "{{ deep | map: '__class__' }}",
    "{{ deep | where: '__class__' }}", "{{ deep | sort: '__class__' }}", "{{ deep | sum: '__len__' }}",
    "{{ '%s' | format: name }}", "{{ '{0.__class__}' | format }}", "{{ '{0.__class__}'.format(name) }}",
    "{{ env }}", "{{ env.SECRET_KEY }}", "{{ environ }}", "{{ expandenv('$HOME') }}", '{{ env "HOME" }}',
    "{{ settings.SECRET_KEY }}", "{{ settings }}", "{{ os }}", "{{ open('/etc/passwd').read() }}",
    "{% import os %}", "{% import 'os' as os %}", "{% include '/etc/passwd' %}", "{% include name %}",
    "{% render '/etc/passwd' %}", "{% extends 'x' %}", "{% block x %}{% endblock %}", "{% macro x() %}{% endmacro %}",
    "{% call x() %}{% endcall %}", "{% load x %}", "{% debug %}", "{% set x = 1 %}", "{% with x=1 %}{% endwith %}",
    "{% autoescape false %}{{ html }}{% endautoescape %}", "{% filter upper %}x{% endfilter %}", "{% print(1) %}",
    "{% layout 'x' %}", "{% section 'x' %}", "{% javascript %}x{% endjavascript %}", "{% style %}x{% endstyle %}",
    "{% php %}echo 1;{% endphp %}", "{{ name | safe }}", "{{ html | raw }}", "{{ html | html_safe }}",
    "{{ html | unescape }}", "{{ _self.env.registerUndefinedFilterCallback('exec') }}", "{{ ['id']|filter('system') }}",
    "{{ constructor.constructor('return process')() }}", "{{ name.constructor }}", "{{ range.constructor('return 1')() }}",
    "{{#with 'x' as |string|}}{{/with}}", "{{#each this}}{{this}}{{/each}}", "{{#if name}}x{{/if}}", "{{#unless name}}x{{/unless}}",
    "{{lookup this 'constructor'}}", "{{> partial}}", "{{{html}}}", "{{& html }}", "{{{{raw}}}} {{name}} {{{{/raw}}}}",
    "{{!-- comment --}}", "{{^name}}x{{/name}}", "{{=<% %>=}}", "{{ template \"x\" }}", "{{ printf \"%s\" . }}", "{{ . }}", "{{ .Name }}",
    "{{ $x := 1 }}", "{{- range . -}}{{- end -}}", "{{ @root }}", "{{ this }}", "{{ pm:unsubscribe }}", "{{{ pm:unsubscribe }}}",
    "{{{pm_unsubscribe_url}}}", "{{ unsubscribe }}", "{{insert \"name\" \"default=x\"}}", "{{ subtract 1 1 }}", "{{amazonSESUnsubscribeUrl}}",
    "{{ campaign.__class__ }}", "{{ campaign['__class__'] }}", "{{ now.__class__ }}", "{{ now.tzinfo }}", "{{ today.resolution }}",
    "{{ _tracking_token }}", "{{ _link_0 }}", "{{ unsubscribe_url.__class__ }}", "{{ template }}", "{{ context }}", "{{ block.super }}",
]  # fmt: skip
#: What no engine here reads, but an ESP or a browser might.
LITERAL = [
    "-name-", "[unsubscribe]", "[Unsubscribe]", "[%unsubscribe%]", "<%asm_group_unsubscribe_url%>", "<%asm_global_unsubscribe_raw_url%>",
    "<%asm_preferences_url%>", "<% system('id') %>", "<%= 7*7 %>", "${7*7}", "#{7*7}", "#set($x=1)", "*{7*7}", "@(7*7)", "%name%", "%%name%%",
    "*|FNAME|*", "*|UNSUB|*", "%recipient.name%", "%unsubscribe_url%", "[[name]]", "((name))", "$name", "{name}", "{ { name } }", "<?php echo 1 ?>",
    "<?= 7*7 ?>", "[weblink]", "[Sender_Name]", "[subject]",
]  # fmt: skip
SECRETS = ("SECRET", "/home", "root:", "<class", "&lt;class", "<module", "function", "object at 0x", "built-in", "0x7f", "49", "7777777")  # fmt: skip
KNOWN = {"items": ["a", "b"], "deep": {"k": "v"}, "html": "<b>bold</b>"}


@pytest.mark.parametrize("source", ESCAPES)
@pytest.mark.parametrize("part", ["subject", "html", "text"])
def test_an_escape_is_refused_with_its_line_or_prints_nothing_of_ours(
    source: str, part: str
) -> None:
    parts = {"html": "<p>x</p>", part: ("" if part == "subject" else "\n") + source}
    try:
        campaign = plain(**parts, allow_missing=True)
        message = campaign.render(somebody(KNOWN))
    except TemplateError as error:
        assert {(p.part, p.line) for p in error.problems} == {(part, 1 if part == "subject" else 2)}
        return
    except RenderError as error:
        assert error.reason.startswith("template: ")
        return
    made = [subject_of(campaign, message), html_of(campaign, message), text_of(campaign, message)]
    assert not [word for word in SECRETS if any(word in text for text in made)]
    assert "<b>" not in made[1]


@pytest.mark.parametrize("source", LITERAL)
def test_what_is_not_liquid_is_text(source: str) -> None:
    campaign = plain(f"<p>{html.escape(source)}</p>", subject=source, text=source)
    message = campaign.render(somebody(KNOWN))
    assert subject_of(campaign, message) == text_of(campaign, message) == source
    assert html_of(campaign, message) == f"<p>{html.escape(source)}</p>"


@pytest.mark.parametrize("value", ESCAPES + LITERAL)
@pytest.mark.parametrize("use", ["{{ v }}", "{% if v %}{{ v | append: '' }}{% endif %}"])
def test_a_value_is_printed_as_it_is(value: str, use: str) -> None:
    campaign = plain(f"<p>{use}</p>", subject=use, text=use)
    message = campaign.render(somebody({"v": value}))
    assert text_of(campaign, message) == subject_of(campaign, message) == value
    assert html.unescape(html_of(campaign, message)) == f"<p>{value}</p>"
    assert "<" not in html_of(campaign, message).removeprefix("<p>").removesuffix("</p>")


@pytest.mark.parametrize("name", ["__class__", "constructor", "keys", "__globals__", "size"])
def test_a_path_leads_only_through_what_a_person_has(name: str) -> None:
    for path in (f"v.{name}", f"v['{name}']", f"v.k.{name}", f"v[w].{name}", "[v]", "[v.k]"):
        campaign = plain(f"[{{{{ {path} }}}}]", allow_missing=True)
        shown = html_of(campaign, campaign.render(somebody({"v": {"k": []}, "w": "k"})))
        assert shown in {"[]", "[0]", "[1]"}
