"""What is done to profiles on their way into the columnar copy."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from traitbase.segments.loading import exact, readable
from traitbase.services.ports import CopiedRow, copied_text

digits = st.text("0123456789.", min_size=1, max_size=24)
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=16, min_value=0, max_value=10**9).map(str)
values = st.one_of(st.integers(0, 10**20).map(str), numbers, digits.map(json.dumps), st.just('["é", 0.25]'))
documents = st.lists(values, max_size=3).map(
    lambda some: "{" + ",".join(f'"p{number}":{value}' for number, value in enumerate(some)) + "}"
)
rows = st.builds(
    CopiedRow,
    distinct_id=digits,
    profile_id=digits,
    created_at_us=st.integers(0, 10**18),
    updated_at_us=st.integers(0, 10**18),
    country=st.sampled_from([None, "IN"]),
    document=documents,
    attributes=st.one_of(st.none(), digits.map(lambda name: json.dumps({"name": name}))),
)
LONG = "12345678901234567890"


def row(distinct_id: str, document: str, name: str = "Ann") -> CopiedRow:
    return CopiedRow(distinct_id, "p", 1, 2, None, document, json.dumps({"name": name}))


@given(st.lists(rows, min_size=1, max_size=6))
@example([row(LONG, '{"n":0.12345678901234567}')])
@example([row("u", '{"n":1}', name=LONG), row("v", '{"n":0.12345678901234567}')])
@example([row(LONG, '{"n":1}', name=LONG)])
def test_whatever_is_beside_them_documents_are_made_exact_and_nothing_else_is_changed(some):
    made = [each._replace(document=exact(each.document.encode()).decode()) for each in some]
    assert readable(copied_text(some)) == copied_text(made)


def test_a_number_that_a_floating_point_number_cannot_hold_becomes_a_text():
    document = b'{"n":0.12345678901234567,"whole":12345678901234567890,"list":[1,0.12345678901234567]}'
    assert json.loads(exact(document)) == {
        "n": "0.12345678901234567",
        "whole": 12345678901234567890,
        "list": [1, ["0.12345678901234567"]],
    }
