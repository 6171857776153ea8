"""Profiles as Hypothesis strategies: properties and attributes as they are stored."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from traitbase.domain.attributes import Attributes, Choice, Preference, Token
from traitbase.domain.destinations import PHONE_CHANNELS, TOKEN_CHANNELS, Channel
from traitbase.domain.values import unique

names = st.sampled_from(["plan", "a.b", "日本", "__proto__", "n", "l"])
scalars = st.one_of(
    st.sampled_from(["", "a", "2026-11-25", "2026-11-25T00:00:00Z", "2026-11-25T01:00:00+01:00"]),
    st.text(max_size=5),
    st.integers(-(10**20) + 1, 10**20 - 1),
    st.sampled_from([Decimal("0.1"), Decimal("1.5"), Decimal("-99999999999999999999.5")]),
)
lists = st.lists(st.one_of(scalars, st.integers(0, 80)), max_size=90).map(lambda each: unique(each, ZoneInfo("UTC")))
values = st.one_of(scalars, st.booleans(), lists)
properties = st.dictionaries(names, values, max_size=5)

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
tokens = st.lists(
    st.builds(Token, st.sampled_from("abcdefgh"), st.none() | texts, st.sampled_from([0, 1])),
    max_size=6,
    unique_by=lambda token: token.token,
)
phones = st.sampled_from(["+919879012345", "+15551234567", "+4930123456"])


def _of(channel: Channel) -> st.SearchStrategy[object]:
    if channel in TOKEN_CHANNELS:
        return tokens.filter(bool)
    return phones if channel in PHONE_CHANNELS else texts


destinations = st.fixed_dictionaries({}, optional={channel.value: _of(channel) for channel in Channel})
preferences = st.dictionaries(
    st.sampled_from(["all", "news", "offers"]),
    st.dictionaries(
        st.sampled_from(["email", "sms"]),
        st.builds(Preference, st.sampled_from(Choice), st.integers(0, 2**60)),
        min_size=1,
    ),
)
ids = st.lists(texts, max_size=4, unique=True).map(tuple)
attributes = st.builds(
    Attributes,
    name=st.none() | texts,
    status=st.sampled_from([0, 1]),
    timezone=st.none() | st.sampled_from(["UTC", "Asia/Calcutta"]),
    channel=destinations,
    preferences=preferences,
    aliases=ids,
    id_list=ids,
)
