"""What the cohort calls are sent: read into what the services take, every fault named."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC

import msgspec

from traitbase.domain.cohorts import MEMBERS_A_CALL_MAX, CohortKind, MemberMode, check_description, check_name
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.rules.tree import Group, parse_tree
from traitbase.domain.updates import DISTINCT_ID_MAX_CODE_POINTS, FAULTS_SHOWN_MAX
from traitbase.domain.values import JsonValue, instant_of, is_date, kind_of_json
from traitbase.services.cohorts.stored import Draft, Edit

SAMPLE_MAX = 1_000
SAMPLE_USUAL = 10

_ID_COLUMN = "distinct_id"
_DAY_LENGTH = len("YYYY-MM-DD")


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """A rule to look at, how many of those that are in to show, and as of when (None: now)."""

    tree: Group
    sample: int
    as_of_us: int | None


@dataclass(frozen=True, slots=True)
class MembersRequest:
    """What to do to the members of a static cohort."""

    mode: MemberMode
    distinct_ids: list[str]


def parse_preview(body: JsonValue) -> PreviewRequest:
    """Read `{"filter", "sample"?, "as_of"?}`. Raises InvalidInput naming what is at fault."""
    sent = _members_of(body, ("filter", "sample", "as_of"))
    tree = parse_tree(sent.get("filter"), path="filter", may_be_empty=True)
    sample = sent.get("sample")
    if sample is None:
        sample = SAMPLE_USUAL
    if type(sample) is not int or not 0 <= sample <= SAMPLE_MAX:
        raise _fault("sample", f"expected a whole number from 0 to {SAMPLE_MAX:,}")
    return PreviewRequest(tree, sample, read_instant(sent.get("as_of"), "as_of"))


def parse_cohort(body: JsonValue) -> Draft:
    """Read `{"name", "description"?, "filter"}`, or `{"name", "kind": "static", "members"?}`. Raises InvalidInput."""
    sent = _members_of(body, ("name", "description", "kind", "filter", "members"))
    name, description = check_name(sent.get("name")), check_description(sent.get("description"))
    kind = sent.get("kind", CohortKind.DYNAMIC.value if "filter" in sent else None)
    if kind not in tuple(CohortKind):
        raise _fault("kind", 'expected "dynamic" (with a filter) or "static" (a list of members)')
    if kind == CohortKind.STATIC.value:
        if sent.get("filter") is not None:
            raise _fault("filter", "a static cohort has members, not a rule; leave one of 'kind' and 'filter' out")
        return Draft(name, description, None, tuple(_read_ids(sent.get("members") or [], "members")))
    if sent.get("members") is not None:
        raise _fault("members", "whoever fits the rule is in; leave 'members' out, or make it a static cohort")
    return Draft(name, description, parse_tree(sent.get("filter"), path="filter", may_be_empty=False))


def parse_edit(body: JsonValue) -> Edit:
    """Read `{"name"?, "description"?, "filter"?, "revision"?}`. Raises InvalidInput."""
    sent = _members_of(body, ("name", "description", "filter", "revision"))
    revision = sent.get("revision")
    if revision is not None and type(revision) is not int:
        raise _fault("revision", f"expected the revision that was read, a whole number, not {kind_of_json(revision)}")
    if not sent.keys() - {"revision"}:
        raise _fault("", "expected at least one of name, description and filter: there is nothing to change")
    tree = parse_tree(sent["filter"], path="filter", may_be_empty=False) if "filter" in sent else msgspec.UNSET
    return Edit(
        check_name(sent["name"]) if "name" in sent else msgspec.UNSET,
        check_description(sent["description"]) if "description" in sent else msgspec.UNSET,
        tree,
        revision,
    )


def parse_freeze(body: JsonValue) -> tuple[str, str | None]:
    """Read `{"name", "description"?}`: those of the static cohort. Raises InvalidInput."""
    sent = _members_of(body, ("name", "description"))
    return check_name(sent.get("name")), check_description(sent.get("description"))


def parse_members(body: JsonValue) -> MembersRequest:
    """Read `{"mode", "distinct_ids"}`. Raises InvalidInput."""
    sent = _members_of(body, ("mode", "distinct_ids"))
    return MembersRequest(read_mode(sent.get("mode")), _read_ids(sent.get("distinct_ids"), "distinct_ids"))


def parse_members_csv(body: bytes) -> list[str]:
    """Read the ids of a CSV file (UTF-8, with or without a mark): the column `distinct_id`, or a single one without.

    Raises InvalidInput naming the line at fault.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise _fault(f"line {line}", "expected a CSV file in UTF-8") from error
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    if not rows:
        return []
    header = [cell.strip() for cell in rows[0]]
    if _ID_COLUMN in header:
        at, first = header.index(_ID_COLUMN), 1
    elif len(header) == 1:
        at, first = 0, 0
    else:
        raise _fault("line 1", f"expected a header with a column {_ID_COLUMN!r}, or a single column of ids")
    ids: list[JsonValue] = [row[at] if at < len(row) else "" for row in rows[first:] if row]
    return _read_ids(ids, "line", numbered_from=first + 1)


def read_mode(sent: JsonValue) -> MemberMode:
    """Return what to do to the members. Raises InvalidInput."""
    if sent not in tuple(MemberMode):
        raise _fault("mode", f"expected one of {', '.join(MemberMode)}")
    return MemberMode(str(sent))


def read_instant(sent: JsonValue, path: str) -> int | None:
    """Return the instant that was sent, in microseconds since 1970 UTC; None for none. Raises InvalidInput."""
    if sent is None:
        return None
    at = instant_of(sent, UTC) if type(sent) is str and is_date(sent) and len(sent) > _DAY_LENGTH else None
    if at is None:
        raise _fault(path, "expected an instant such as 2026-03-08T16:30:00Z")
    return at


def _read_ids(sent: JsonValue, path: str, *, numbered_from: int | None = None) -> list[str]:
    if type(sent) is not list:
        raise _fault(path, f"expected an array of distinct_ids, not {kind_of_json(sent)}")
    if len(sent) > MEMBERS_A_CALL_MAX:
        raise _fault(path, f"expected at most {MEMBERS_A_CALL_MAX:,} ids, not {len(sent):,}; send them in parts")
    faults = []
    for at, each in enumerate(sent):
        if type(each) is not str or not 0 < len(each) <= DISTINCT_ID_MAX_CODE_POINTS:
            place = f"{path}[{at}]" if numbered_from is None else f"{path} {at + numbered_from}"
            expected = f"expected a distinct_id, a text of 1 to {DISTINCT_ID_MAX_CODE_POINTS} characters"
            faults.append(Fault(place, f"{expected}, not {kind_of_json(each)}" if type(each) is not str else expected))
            if len(faults) == FAULTS_SHOWN_MAX:
                break
    if faults:
        raise InvalidInput(f"{faults[0].path}: {faults[0].message}", faults=tuple(faults))
    return [str(each) for each in sent]


def _members_of(body: JsonValue, known: tuple[str, ...]) -> dict[str, JsonValue]:
    if type(body) is not dict:
        raise _fault("", f"the body must be a JSON object, not {kind_of_json(body)}")
    for key in body:
        if key not in known:
            raise _fault(key[:80], f"there is no such member; expected {', '.join(known)}")
    return body


def _fault(path: str, message: str) -> InvalidInput:
    return InvalidInput(f"{path}: {message}" if path else message, faults=(Fault(path, message),))
