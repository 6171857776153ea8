"""What callers send, as Hypothesis strategies: values of every kind, near misses of each, and whole updates."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from traitbase.domain.values import parse_number_literal

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "US/Pacific", "Asia/Kolkata", "Pacific/Kiritimati")]
zones = st.sampled_from(ZONES)

# --- numbers: as a JSON reader hands them over, an int if written without fraction and exponent ---

number_literals = st.from_regex(r"-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


def read_literal(text: str) -> int | Decimal:
    return parse_number_literal(text) if set(text) & set(".eE") else int(text)


numbers = st.one_of(
    st.integers(-5, 5),
    st.integers(-(10**20) - 2, 10**20 + 2),
    st.sampled_from([10**20 - 1, 10**20, -(10**20), 10**400, 2**53 + 1, 2**63, 2**64]),
    st.decimals(-100, 100, places=2),
    st.decimals(-(10**20) - 2, 10**20 + 2, places=3),
    st.decimals(-(10**19), 10**19, places=18),
    number_literals.map(read_literal),
    st.sampled_from(["1E+999999", "-1E+999999", "1E-999999", "-0.0", "0E-50", "1.0", "1e1", "5e-19", "15e-19"]).map(
        Decimal
    ),
)

# --- dates and what nearly is one ---

_fractions = st.one_of(
    st.just(""), st.integers(1, 9).flatmap(lambda n: st.from_regex(rf"\.[0-9]{{{n}}}", fullmatch=True))
)
_offsets = st.one_of(
    st.sampled_from(["", "Z", "+00:00", "-00:00", "+05:30", "-08:00", "+14:00", "+23:59", "-23:59"]),
    st.builds("{}{:02}:{:02}".format, st.sampled_from("+-"), st.integers(0, 23), st.integers(0, 59)),
)
days = st.dates().map(str)
dates = st.one_of(days, st.builds("{}T{:%H:%M:%S}{}{}".format, days, st.times(), _fractions, _offsets))
near_dates = st.one_of(
    st.from_regex(
        r"[0-9]{4}-[0-3][0-9]-[0-3][0-9](T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?(Z|[+-][0-9]{2}:[0-9]{2})?)?\n?"
    ),
    st.builds(
        lambda text, position, character: text[:position] + character + text[position + 1 :],
        dates,
        st.integers(0, 34),
        st.sampled_from("0123456789-:TtZz+. \n٣５"),
    ),
)

# --- values ---

texts = st.one_of(
    st.text(max_size=12),
    dates,
    near_dates,
    st.sampled_from(
        ["", "1", "true", "null", "\0", "a\0b", "x" * 255, "x" * 256, "é" * 255, "😀" * 255, "😀" * 256, "'; --"]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
few_scalars = st.one_of(
    scalars, st.sampled_from([1, Decimal("1.0"), "1", "a", "2020-10-01T18:30:00Z", "2020-10-02T00:00:00+05:30"])
)
value_lists = st.lists(few_scalars, max_size=6)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)

# --- updates: items of a batch that have no fault of structure ---

names = st.sampled_from(["a", "b", "l", "n", "a.b", "日本", "__proto__"])
allowed_names = st.one_of(
    names, st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255)
).filter(lambda name: not name.startswith("$"))


def actions(
    of_names: st.SearchStrategy[str] = names,
    of_scalars: st.SearchStrategy[object] = few_scalars,
    of_numbers: st.SearchStrategy[object] = numbers,
) -> st.SearchStrategy[dict[str, object]]:
    """Actions with any of the six operations, in any order of keys."""
    of_lists = st.lists(of_scalars, max_size=6)
    settable = st.dictionaries(of_names, st.one_of(of_scalars, of_lists), min_size=1, max_size=4)
    single = st.dictionaries(of_names, of_scalars, min_size=1, max_size=3)
    payloads = {
        "$set": settable,
        "$once": settable,
        "$add": st.dictionaries(of_names, st.one_of(of_numbers, of_scalars), min_size=1, max_size=3),
        "$append": single,
        "$remove": single,
        "$unset": st.lists(of_names, min_size=1, max_size=4),
    }
    words = st.lists(st.sampled_from(list(payloads)), min_size=1, max_size=6, unique=True)
    return words.flatmap(lambda chosen: st.fixed_dictionaries({word: payloads[word] for word in chosen}))


distinct_ids = st.sampled_from(["u", "w", "ü😀"])
items = st.fixed_dictionaries({"distinct_id": distinct_ids, "action": actions()})

# --- the same from a small vocabulary, whose words meet often ---

few_words = st.sampled_from(["a", "b", 1, Decimal("1.0"), 2, "2020-10-01T18:30:00Z", "2020-10-01", True, None])
plain_actions = actions(st.sampled_from("abln"), few_words, st.sampled_from([1, -1, Decimal("0.1"), 10**20]))
plain_items = st.fixed_dictionaries({"distinct_id": distinct_ids, "action": plain_actions})
