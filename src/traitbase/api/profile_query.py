"""What a listing of profiles is asked for, by query string or by body."""

from __future__ import annotations

from dataclasses import dataclass

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.rules.tree import Group, parse_tree
from traitbase.domain.updates import FAULTS_SHOWN_MAX, is_property_name
from traitbase.domain.values import JsonValue, kind_of_json
from traitbase.services.ports import ProfileOrder

PAGE_MAX = 1_000
PAGE_USUAL = 100
COLUMNS_MAX = 200
SOUGHT_MAX_CODE_POINTS = 255


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which profiles, in which order, how many; `columns` None: all properties, `filter` None: whoever they are."""

    q: str | None = None
    sort: ProfileOrder | None = None
    limit: int = PAGE_USUAL
    cursor: str | None = None
    columns: tuple[str, ...] | None = None
    filter: Group | None = None

    def __post_init__(self) -> None:
        if self.filter is not None and (self.q or self.sort not in (None, ProfileOrder.DISTINCT_ID)):
            message = "those who fit a rule are listed in order of distinct_id; leave 'q' and 'sort' out"
            raise InvalidInput(f"filter: {message}", faults=(Fault("filter", message),))
        if self.q and self.sort is not None:
            message = "a search has an order of its own (by id, then name, then address); leave 'sort' or 'q' out"
            raise InvalidInput(f"sort: {message}", faults=(Fault("sort", message),))


def parse_query(body: JsonValue) -> ListQuery:
    """Read `{"q"?, "sort"?, "limit"?, "cursor"?, "columns"?, "filter"?}`. Raises InvalidInput naming every fault."""
    faults: list[Fault] = []
    if type(body) is not dict:
        message = f"the body must be a JSON object, not {kind_of_json(body)}"
        raise InvalidInput(message, faults=(Fault("", message),))
    for key in body:
        if key not in _READERS and key != "filter" and len(faults) < FAULTS_SHOWN_MAX:
            expected = ", ".join((*_READERS, "filter"))
            faults.append(Fault(key[:80], f"there is nothing of this name to ask for; expected {expected}"))
    read: dict[str, object] = {}
    for key, reader in _READERS.items():
        if body.get(key) is not None:
            value, fault = reader(body[key])
            read[key] = value
            faults.extend([] if fault is None else [Fault(key, fault)])
    if faults:
        raise InvalidInput(f"{faults[0].path}: {faults[0].message}", faults=tuple(faults[:FAULTS_SHOWN_MAX]))
    if body.get("filter") is not None:
        read["filter"] = parse_tree(body["filter"], path="filter", may_be_empty=True)
    return ListQuery(**read)  # type: ignore[arg-type]  # each reader returns its own type


def _read_text(sent: JsonValue) -> tuple[object, str | None]:
    if type(sent) is str and len(sent) <= SOUGHT_MAX_CODE_POINTS:
        return sent, None
    return None, f"expected a text of at most {SOUGHT_MAX_CODE_POINTS} characters"


def _read_cursor(sent: JsonValue) -> tuple[object, str | None]:
    return (sent, None) if type(sent) is str else (None, "expected the next_cursor of the page before")


def _read_order(sent: JsonValue) -> tuple[object, str | None]:
    if type(sent) is str and sent in {order.value for order in ProfileOrder}:
        return ProfileOrder(sent), None
    return None, f"expected one of {', '.join(ProfileOrder)}"


def _read_limit(sent: JsonValue) -> tuple[object, str | None]:
    if type(sent) is int and 1 <= sent <= PAGE_MAX:
        return sent, None
    return PAGE_USUAL, f"expected a whole number from 1 to {PAGE_MAX:,}"


def _read_columns(sent: JsonValue) -> tuple[object, str | None]:
    names = sent if type(sent) is list else None
    if names is None or len(names) > COLUMNS_MAX:
        return None, f"expected an array of at most {COLUMNS_MAX} property names"
    if not all(type(name) is str and is_property_name(name) for name in names):
        return None, "expected names of properties: 1 to 255 characters, none beginning with '$', no control characters"
    return tuple(names), None


_READERS = {
    "q": _read_text,
    "sort": _read_order,
    "limit": _read_limit,
    "cursor": _read_cursor,
    "columns": _read_columns,
}
