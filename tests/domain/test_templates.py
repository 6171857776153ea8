"""Templates: what they show, what they may not do, and what is said about it."""

from __future__ import annotations

import html
import time
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.strategies import numbers
from traitbase.domain.errors import InvalidInput, Refused
from traitbase.domain.templates import OUTPUT_BYTES_MAX, parse_template
from traitbase.domain.values import to_number

VALUES = {
    "profile": {"name": "Ann", "distinct_id": "u-1"},
    "properties": {
        "first.name": "Ann & Bo",
        "plan": "pro",
        "ltv": Decimal("19.99"),
        "tiny": Decimal("1E-7"),
        "round": Decimal("1E+3"),
        "visits": 7,
        "vip": True,
        "tags": ["a", "b"],
        "amounts": [1, Decimal("0.1"), "2"],
        "long": "x" * 200_000,
        "日本": "にほん",
    },
    "data": {"order": {"lines": [{"name": "Tea", "price": Decimal("3.50")}, {"name": "Cup", "price": 4}]}},
    "campaign": {"name": "Spring"},
}


def shown(source, *, html=False, **more):
    return parse_template(source, path="email.text", html=html).render({**VALUES, **more}).text


# --- what they show ---


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hi {{ profile.name }}!", "Hi Ann!"),
        ('{{ properties["first.name"] }}', "Ann & Bo"),
        ("{{ properties.first_name | default: 'there' }}", "there"),
        ("{{ properties['日本'] }}", "にほん"),
        ("{{ properties.ltv }} {{ properties.tiny }} {{ properties.round }}", "19.99 0.0000001 1000"),
        ("{{ properties.vip }}", "true"),
        ("{% for line in data.order.lines %}{{ line.name }} {{ line.price }};{% endfor %}", "Tea 3.5;Cup 4;"),
        ("{% if properties.ltv > 19.9 and properties.tags contains 'a' %}yes{% endif %}", "yes"),
        ("{% case properties.visits %}{% when 7 %}seven{% endcase %}", "seven"),
        ("{{ properties.tags.first }}{{ properties.tags[1] }}{{ properties.tags.size }}", "ab2"),
        ("{{ campaign.name | upcase }}", "SPRING"),
        ("{{ 'now' | size }}", "3"),
    ],
)
def test_a_template_shows_what_it_asks_for(source, text):
    assert shown(source) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ properties.tiny | plus: 1 }}", "1.0000001"),
        ("{{ 1.1 | times: 3 }}", "3.3"),
        ("{{ 0.1 | plus: 0.2 }}", "0.3"),
        ("{{ properties.ltv | times: 100 }}", "1999"),
        ("{{ 7 | divided_by: 2 }}", "3"),
        ("{{ 7 | divided_by: 2.0 }}", "3.5"),
        ("{{ 7.5 | divided_by: 2 }}", "3.75"),
        ("{{ 7 | modulo: 3 }} {{ -7 | modulo: 3 }}", "1 2"),
        ("{{ 2.345 | round: 2 }} {{ 4.5 | round }} {{ 1234 | round: -2 }}", "2.35 5 1200"),
        ("{{ -1.5 | ceil }} {{ -1.5 | floor }} {{ -3 | abs }}", "-1 -2 3"),
        ("{{ '12.50' | minus: 1 }}", "11.5"),
        ("{{ properties.amounts | sum }}", "3.1"),
        ("{{ 5 | at_most: 3 }}{{ 5 | at_least: 9 }}", "39"),
    ],
)
def test_numbers_are_exact(source, text):
    assert shown(source) == text


kept = numbers.map(to_number).filter(lambda number: number is not None)


@given(kept, kept)
def test_every_number_is_written_plainly_and_added_exactly(one, other):
    text = shown("{{ data.one }}|{{ data.one | plus: data.other }}", data={"one": one, "other": other})
    first, added = text.split("|")
    assert (Decimal(first), "e" in text.lower()) == (Decimal(one), False)
    with localcontext(prec=60):
        assert Decimal(added) == Decimal(one) + Decimal(other)


@given(st.text())
def test_in_html_a_value_is_text_whatever_it_says(value):
    text = shown("<p>{{ properties.x }}</p>", html=True, properties={"x": value})
    inside = text.removeprefix("<p>").removesuffix("</p>")
    assert not set("<>\"'") & set(inside)
    assert html.unescape(inside) == html.unescape(html.escape(value))
    assert shown("{{ properties.x }}", properties={"x": value}) == value


def test_a_number_beyond_all_properties_is_shown_as_it_came():
    assert shown("{{ data.n }}", data={"n": Decimal("1E+999999")}) == "1E+999999"


def test_what_is_not_there_is_empty_and_told_once_where_it_is_shown():
    template = parse_template(
        '{{ properties.nope }}{{ properties["a.b"] | upcase }}{{ properties.nope }}{{ properties.visits2 | plus: 1 }}'
        "{{ properties.other | default: 'x' }}{% if properties.asked %}{% endif %}{{ data.deep.er }}",
        path="email.text",
        html=False,
    )
    rendered = template.render(VALUES)
    assert rendered.text == "1x"
    assert rendered.unknown == ("properties.nope", "properties['a.b']", "properties.visits2", "data.deep.er")
    assert set(template.asks_for) >= {"properties.nope", "properties.other", "properties.asked", "data.deep.er"}
    assert template.render({**VALUES, "properties": {"nope": 1}}).unknown[0] != "properties.nope"


# --- what is wrong with one ---


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ name }}", "there is no 'name'; a template can ask for profile, properties, data, campaign"),
        ("one\ntwo {{ properties.a", "email.text, line 2: expected '}}'"),
        ("{% for x in properties.tags %}", "expected tag endfor"),
        ("\n\n{% foo %}", "email.text, line 3: unexpected tag 'foo'"),
        ("\n{{ 1 | foo }}", "email.text, line 2: there is no filter 'foo'; there are abs, append"),
        ("{% include 'x' %}", "unexpected tag 'include'"),
        ("{% if 1 %}" * 50 + "{% endif %}" * 50, "block nesting"),
        ("x" * 262_145, "262,145 characters are too many"),
    ],
)
def test_a_template_that_is_none_says_where(source, told):
    with pytest.raises(InvalidInput) as refused:
        parse_template(source, path="email.text", html=False)
    assert told in refused.value.message
    assert [fault.path for fault in refused.value.faults] == ["email.text"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ 'abc' | times: 2 }}", "times needs a number, and got 'abc'"),
        ("{{ properties.tags | plus: 1 }}", "plus needs a number, and got a list"),
        ("{{ properties.vip | plus: 1 }}", "plus needs a number, and got true"),
        ("{{ 1 | divided_by: 0 }}", "divided_by cannot do that with 0"),
        ("{{ 1 | modulo: 0 }}", "modulo cannot do that with 0"),
        ("{{ 1 | plus }}", "plus takes another number of arguments"),
        ("{{ properties.tags | sum }}", "sum needs a number, and got 'a'"),
        ("{{ properties.plan | sum }}", "sum needs a list"),
        ("{% for i in (1..100000000) %}x{% endfor %}", "its loops take more than 10,000 rounds"),
        ("{% for i in (1..200) %}{% for j in (1..200) %}x{% endfor %}{% endfor %}", "more than 10,000 rounds"),
        ("{{ (1..1000000000) | join: ',' }}", "a range has more than 10,000 elements"),
        ("{{ properties.long | replace: 'x', properties.long }}", "replace makes more than 1,048,576 characters"),
        ("{{ properties.tags | join: properties.long | split: '' | join: properties.long }}", "join makes more than"),
        ("{% for i in (1..9000) %}{{ properties.long }}{% endfor %}", "it makes more than 1,048,576 bytes"),
        (
            "{% assign x = 'x' %}{% for i in (1..90) %}{% assign x = x | append: x %}{% endfor %}",
            "append makes more than 1,048,576 characters",
        ),
    ],
)
def test_one_that_cannot_be_done_or_goes_too_far_says_what_and_stops(source, told):
    template = parse_template(source, path="email.text", html=False)
    with pytest.raises(Refused, match=r"email\.text") as refused:
        template.render(VALUES)
    assert (told in refused.value.message, refused.value.code) == (True, "template_failed"), refused.value.message


def test_one_that_takes_too_long_is_stopped():
    slow = "{% for i in (1..9000) %}{% assign y = properties.long | upcase | split: 'X' | join: 'y' %}{% endfor %}"
    template = parse_template(slow, path="email.text", html=False)
    began = time.monotonic()
    with pytest.raises(Refused, match="it takes more than 1 s"):
        template.render(VALUES)
    assert time.monotonic() - began < 10


WORDS = [
    "{{",
    "}}",
    "{%",
    "%}",
    "for x in",
    "endfor",
    "if",
    "endif",
    "properties",
    ".a",
    "|",
    "join:",
    "'",
    "(1..9)",
    "assign",
]


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=20).map(" ".join))
def test_whatever_is_written_is_a_template_or_explained(source):
    fault = ""
    try:
        text = parse_template(source, path="p", html=True).render(VALUES).text
    except (InvalidInput, Refused) as error:
        text, fault = "", error.message
    assert len(text.encode(errors="surrogatepass")) <= OUTPUT_BYTES_MAX
    assert not fault or fault.startswith("p")
