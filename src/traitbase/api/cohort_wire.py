"""Cohorts as the API shows them."""

from __future__ import annotations

from typing import Any

from traitbase.api.wire import profile_answer, time_of
from traitbase.domain.errors import Fault
from traitbase.domain.rules.describing import describe
from traitbase.domain.rules.explaining import ExplainedGroup, ExplainedRule
from traitbase.domain.rules.fields import KIND_OF, Field
from traitbase.domain.rules.tree import to_json
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind, Value, written
from traitbase.services.cohorts.catalogues import tree_of
from traitbase.services.cohorts.counting import Counted, Explained
from traitbase.services.cohorts.ports import QUANTILES, Difference, Insight
from traitbase.services.ports import CohortRow, MembersChanged


def cohort_answer(row: CohortRow, names: dict[str, str]) -> dict[str, Any]:
    """Return a cohort. `names` are those of the space's cohorts by id, for the sentence."""
    tree = None if row.rule is None else tree_of(row.rule)
    return {
        "cohort_id": row.cohort_id,
        "name": row.name,
        "kind": row.kind.value,
        "description": row.description,
        "filter": None if tree is None else _shown(to_json(tree)),
        "sentence": None if tree is None else describe(tree, names),
        "revision": row.revision,
        "created_at": time_of(row.created_at_us),
        "updated_at": time_of(row.updated_at_us),
        "last_count": row.last_count,
        "last_counted_at": None if row.last_counted_at_us is None else time_of(row.last_counted_at_us),
    }


def counted_answer(counted: Counted, *, took_ms: float) -> dict[str, Any]:
    """Return how many are in."""
    return {
        "count": counted.count,
        "total": counted.total,
        "took_ms": round(took_ms, 1),
        "as_of": time_of(counted.as_of_us),
        "warnings": warnings_answer(counted.warnings),
    }


def preview_answer(space: Space, counted: Counted, *, took_ms: float, now_us: int) -> dict[str, Any]:
    """Return how many are in by a rule, and some of them."""
    sample = [profile_answer(space, profile, now_us=now_us) for profile in counted.sample]
    return {**counted_answer(counted, took_ms=took_ms), "sentence": counted.sentence, "sample": sample}


def warnings_answer(warnings: tuple[Fault, ...]) -> list[dict[str, str]]:
    """Return what is odd about a rule but no fault."""
    return [{"path": each.path, "message": each.message} for each in warnings]


def difference_answer(difference: Difference) -> dict[str, Any]:
    """Return who would come in and go out."""
    return {
        "entering": {"count": difference.entering, "sample": list(difference.entering_sample)},
        "leaving": {"count": difference.leaving, "sample": list(difference.leaving_sample)},
    }


def changed_answer(changed: MembersChanged) -> dict[str, Any]:
    """Return what became of a list of ids."""
    return {
        "status": "ok",
        "added": changed.added,
        "removed": changed.removed,
        "members": changed.members,
        "unknown": {"count": changed.unknown_count, "sample": list(changed.unknown)},
    }


def explained_answer(explained: Explained, names: dict[str, str]) -> dict[str, Any]:
    """Return whether somebody is in, and why."""
    return {
        "distinct_id": explained.distinct_id,
        "member": explained.is_member,
        "as_of": time_of(explained.as_of_us),
        "reason": None if explained.tree is None else _group(explained.tree, names),
    }


def insight_answer(insight: Insight) -> dict[str, Any]:
    """Return what a property's values are like."""
    kind = insight.kind
    share = insight.having / insight.profiles if insight.profiles else 0.0
    answer: dict[str, Any] = {
        "name": insight.name,
        "type": kind.value,
        "profiles": insight.profiles,
        "having": insight.having,
        "share": round(share, 6),
        "distinct": insight.distinct,
        "top": [{"value": _value(each.value, kind), "profiles": each.profiles} for each in insight.top],
    }
    if insight.smallest is not None and insight.largest is not None:
        answer["min"], answer["max"] = _value(insight.smallest, kind), _value(insight.largest, kind)
        pairs = zip(QUANTILES, insight.quantiles, strict=True)
        answer["quantiles"] = {f"p{int(share * 100)}": _value(value, kind) for share, value in pairs}
    if insight.total is not None:
        answer["sum"] = _value(insight.total, kind)
    if insight.sizes is not None:
        answer["sizes"] = {"min": insight.sizes[0], "max": insight.sizes[1]}
    return answer


def _group(group: ExplainedGroup, names: dict[str, str]) -> dict[str, Any]:
    return {
        "path": group.path,
        "combinator": group.combinator.value,
        "not": group.negated,
        "holds": group.holds,
        "rules": [
            _group(part, names) if isinstance(part, ExplainedGroup) else _rule(part, names) for part in group.parts
        ],
    }


def _rule(explained: ExplainedRule, names: dict[str, str]) -> dict[str, Any]:
    answer = {"path": explained.path, **_shown(to_json(explained.rule)), "holds": explained.holds}
    if explained.memberships is not None:
        answer["seen"] = {
            cohort_id: {"name": names.get(cohort_id), "member": is_in}
            for cohort_id, is_in in explained.memberships.items()
        }
        return answer
    is_instant = isinstance(explained.subject, Field) and KIND_OF[explained.subject] is Kind.DATE
    answer["seen"] = None if explained.seen is None else _value(explained.seen, Kind.DATE if is_instant else None)
    return answer


def _value(value: Value, kind: Kind | None) -> object:
    if kind is Kind.DATE and isinstance(value, int):
        return time_of(value)
    return written(value)


def _shown(value: Any) -> Any:
    """Return JSON with its numbers as they are shown."""
    if isinstance(value, dict):
        return {key: _shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return written(value)
