"""The columnar engine around its answers: more properties than columns, limits, two owners, work in the background."""

from __future__ import annotations

import contextlib
import threading
from decimal import Decimal
from random import Random

import pytest

from ingest.submitting import asked, ingest_on, sent
from segments import populations
from segments.test_agreement import disagreements
from store.backends import LIVE, NORTH, SqliteBackend
from support.waiting import until
from traitbase.domain.edits import Erase
from traitbase.domain.errors import Refused
from traitbase.domain.rules.resolving import resolve
from traitbase.domain.rules.tree import parse_tree
from traitbase.segments.columnar import ColumnarEngine
from traitbase.segments.copy import Copy, Limits, WritingAnew, count_copied, gathered


@pytest.fixture
def backend(tmp_path):
    opened = SqliteBackend(tmp_path)
    opened.store.add_workspace(NORTH)
    yield opened
    opened.close()


@pytest.fixture
def store(backend):
    return backend.store


@pytest.fixture
def ingest(store):
    with contextlib.closing(ingest_on(store)) as opened:
        yield opened


class Told(list):
    def __call__(self, event: str, **fields: object) -> None:
        self.append((event, fields))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self]


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def open_engine(store, tmp_path, told):
    with contextlib.ExitStack() as opened:

        def make(**others: object) -> ColumnarEngine:
            limits = Limits(**{"threads": 1, **others})
            return opened.enter_context(contextlib.closing(ColumnarEngine(store, tmp_path, limits, tell=told)))

        yield make


@pytest.fixture
def every_update_counts(monkeypatch):
    """An updated row is as good a reason to write the copy anew as one that was replaced."""
    monkeypatch.setattr("traitbase.segments.copy._UPDATES_A_CHANGED_ROW", 1)


def update(ingest, *items: tuple[str, dict[str, object]]) -> None:
    ingest.run([sent(*((distinct_id, {"$set": values}) for distinct_id, values in items))], wait_seconds=5)


def count(engine: ColumnarEngine, field: str, operator: str, value: object = None) -> int:
    rule = {"field": field, "operator": operator, "value": value}
    with engine.open_view(LIVE) as view:
        plan = resolve(parse_tree({"rules": [rule]}, may_be_empty=False), view.catalogue, view.moment_at(0))
        return view.count(plan)


# --- columns ---


def test_rules_about_properties_without_a_column_agree_with_the_reference(monkeypatch):
    monkeypatch.setattr("traitbase.segments.copy.COLUMNS_MAX", 3)
    with contextlib.closing(Copy.create(None, Limits(threads=1))) as copy:
        for seed in range(40):
            assert disagreements(copy, populations.Maker(Random(seed)), 20) == [], f"seed {seed}"
        (table,) = copy.tables.values()
        assert sorted(column.position is None for column in table.columns.values()) == [False] * 3 + [True] * 6


def test_it_is_made_anew_when_there_are_more_properties_than_columns(monkeypatch, ingest, open_engine, told):
    monkeypatch.setattr("traitbase.segments.copy.COLUMNS_MAX", 2)
    engine = open_engine()
    update(ingest, ("u", {"a": 1, "b": 1}))
    assert count(engine, "a", "=", 1) == 1
    update(ingest, ("u", {"c": 3}), ("w", {"d": "x"}))
    assert [count(engine, "a", "=", 1), count(engine, "c", "=", 3), count(engine, "d", "=", "x")] == [1, 1, 1]
    assert told.events.count("cohorts_ready") == 2
    update(ingest, ("w", {"e": [1, "2024-01-01"]}))
    assert count(engine, "e", "contains", "2024-01-01") == 1
    assert told.events.count("cohorts_ready") == 2


def test_a_property_that_was_only_declared_has_no_values(store, ingest, open_engine):
    from traitbase.domain.values import Kind
    from traitbase.services.redefining import declare
    from traitbase.services.retyping import Asked

    engine = open_engine()
    update(ingest, ("u", {"a": 1}))
    assert count(engine, "a", "notNull") == 1
    declare(store, LIVE, "later", Kind.DATE, description=None, asked=Asked("r", 1, "key", keeps_history=False))
    assert (count(engine, "later", "notNull"), count(engine, "later", "null")) == (0, 1)


def test_the_total_is_that_of_the_moment(ingest, open_engine):
    engine = open_engine()

    def total() -> int:
        with engine.open_view(LIVE) as view:
            return view.total()

    update(ingest, ("u", {"a": 1}))
    with engine.open_view(LIVE) as before:
        assert (before.total(), total()) == (1, 1)
        update(ingest, ("v", {"a": 1}), ("w", {"a": 1}))
        assert (total(), before.total()) == (3, 1)
        assert total() == 3
        ingest.run([asked(Erase(("v",)))], wait_seconds=5)
        assert (total(), before.total()) == (2, 1)


# --- limits ---


def test_an_answer_that_takes_too_long_says_so_and_the_next_one_is_given(ingest, open_engine):
    engine = open_engine(answer_seconds=0.2)
    update(ingest, ("u", {"a": 1}))
    with engine.open_view(LIVE) as view, pytest.raises(Refused) as refused:
        view._ask("SELECT count(*) FROM range(10000000000) AS t(i) WHERE i % 7 = 3", {})
    assert refused.value.code == "cohort_too_slow"
    assert "longer than the 0.2 s" in refused.value.message
    assert count(engine, "a", "=", 1) == 1


def test_an_answer_that_needs_too_much_memory_says_so(ingest, open_engine):
    engine = open_engine(memory_bytes=64 * 1024 * 1024)
    update(ingest, ("u", {"a": 1}))
    with engine.open_view(LIVE) as view, pytest.raises(Refused) as refused:
        view._ask("SELECT count(DISTINCT i::VARCHAR || 'padding of some length') FROM range(20000000) AS t(i)", {})
    assert refused.value.code == "cohort_too_large"
    assert count(engine, "a", "=", 1) == 1


# --- who owns the file ---


def test_a_second_engine_answers_from_memory_and_takes_no_file(ingest, open_engine, told, tmp_path):
    first, second = open_engine(), open_engine()
    assert told.events == ["cohorts_in_memory"]
    for number in range(3):
        update(ingest, (f"u{number}", {"a": 1}))
        assert (count(first, "a", "=", 1), count(second, "a", "=", 1)) == (number + 1, number + 1)
    assert len(list(tmp_path.glob("cohorts.*.duckdb"))) == 1
    first.close()
    update(ingest, ("u9", {"a": 1}))
    assert (count(second, "a", "=", 1), count(open_engine(), "a", "=", 1)) == (4, 4)


@pytest.mark.parametrize("content", [b"", b"no database", b"\0" * 100_000])
def test_a_file_of_something_else_is_replaced(ingest, open_engine, tmp_path, content):
    (tmp_path / "cohorts.7.duckdb").write_bytes(content)
    update(ingest, ("u", {"a": 1}))
    assert count(open_engine(), "a", "=", 1) == 1
    (path,) = tmp_path.glob("cohorts.*.duckdb")
    assert path.name != "cohorts.7.duckdb" or path.read_bytes() != content


# --- in the background ---


def test_it_gets_ready_and_keeps_up_without_being_asked(ingest, open_engine, told):
    update(ingest, ("u", {"a": 1}))
    engine = open_engine()
    assert engine.state().doing == "starting"
    engine.start()
    until(lambda: engine.state().doing == "ready")
    position = engine._keeper._copy.position
    update(ingest, ("u", {"a": 2}))
    until(lambda: engine._keeper._copy.position.sequence == position.sequence + 1)
    assert (count(engine, "a", "=", 2), told.events) == (1, ["cohorts_ready"])


def test_while_it_is_made_it_says_how_far_it_is_and_answers_nothing_wrong(monkeypatch, ingest, open_engine, told):
    monkeypatch.setattr("traitbase.segments.progress._TOLD_EVERY_SECONDS", 0)
    update(ingest, *((f"u{number}", {"a": 1}) for number in range(5_000)))
    may_go_on, filling = threading.Event(), threading.Event()
    monkeypatch.setattr("traitbase.segments.keeping._PATIENCE_SECONDS", 0.2)
    original = Copy.settle

    def wait(copy: Copy) -> None:
        filling.set()
        may_go_on.wait(30)
        original(copy)

    monkeypatch.setattr(Copy, "settle", wait)
    engine = open_engine()
    engine.start()
    assert filling.wait(30)
    state = engine.state()
    assert (state.doing, state.done, state.of) == ("building", 5_000, 5_000)
    progress = [fields for event, fields in told if event == "cohorts_progress"]
    assert progress[-1] == {"doing": "building", "done": 5_000, "of": 5_000, "seconds_left": 0.0}
    with pytest.raises(Refused) as refused:
        count(engine, "a", "=", 1)
    assert refused.value.code == "cohorts_not_ready"
    assert "building, 5,000 of 5,000 profiles" in refused.value.message
    assert engine.clear_traces() is False
    may_go_on.set()
    until(lambda: engine.state().doing == "ready")
    assert count(engine, "a", "=", 1) == 5_000


def test_the_work_is_as_large_as_the_change(monkeypatch, ingest, open_engine):
    update(ingest, *((f"u{each}", {"a": 0}) for each in range(500)))
    engine = open_engine()
    assert count(engine, "a", "=", 0) == 500
    taken_in = noted(monkeypatch)
    update(ingest, *((f"u{each}", {"a": 1}) for each in range(10)))
    assert (count(engine, "a", "=", 1), count(engine, "a", "=", 0)) == (10, 490)
    assert taken_in == [("update", 10)]
    update(ingest, *((f"u{each}", {"a": 2}) for each in range(495, 505)))
    assert (count(engine, "a", "=", 2), count(engine, "a", "=", 0)) == (10, 485)
    assert sorted(taken_in[1:]) == [("insert", 5), ("update", 5)]


def noted(monkeypatch) -> list[tuple[str, int]]:
    """Note how many profiles the copy takes in as a whole, and of how many only what was updated."""
    taken_in = []

    def noting(method: str) -> None:
        take = getattr(Copy, method)

        def note(copy: Copy, *arguments: object) -> None:
            taken_in.append((method, count_copied(arguments[-1])))
            take(copy, *arguments)

        monkeypatch.setattr(Copy, method, note)

    for method in ("insert", "update"):
        noting(method)
    return taken_in


FULL = {
    "Plan": "pro",
    "plan": "free",
    'a "quoted" ~/name': "x",
    "n": Decimal("0.12345678901234567"),
    "ok": True,
    "at": "2024-01-01T10:00:00Z",
    "day": "2024-02-02",
    "tags": ["x", 1],
}
CHANGED = {
    "Plan": "trial",
    "plan": "paid",
    'a "quoted" ~/name': "it's\n",
    "n": Decimal("1234567890.12345678901"),
    "ok": False,
    "at": "2025-05-05T10:00:00+05:30",
    "day": "2023-03-03",
    "tags": ["2024-01-01", "y"],
}


def has(engine: ColumnarEngine, name: str, value: object) -> int:
    return (
        sum(count(engine, name, "contains", each) == 1 for each in value)
        if name == "tags"
        else count(engine, name, "=", value)
    )


@pytest.mark.parametrize("name", FULL)
def test_an_update_is_taken_in_by_itself_and_leaves_everything_else(monkeypatch, ingest, open_engine, name):
    engine = open_engine()
    update(ingest, ("u", FULL), ("other", {"also": 1}))
    had = {each: has(engine, each, value) for each, value in FULL.items()}
    assert had == {each: 2 if each == "tags" else 1 for each in FULL}
    taken_in = noted(monkeypatch)
    update(ingest, ("u", {name: CHANGED[name]}))
    assert {each: has(engine, each, FULL[each]) for each in FULL} == {**had, name: 0}
    assert has(engine, name, CHANGED[name]) == had[name]
    ingest.run([sent(("u", {"$unset": [name]}))], wait_seconds=5)
    assert (count(engine, name, "null"), count(engine, name, "notNull")) == (2, 0)
    assert taken_in == [("update", 1), ("update", 1)]
    ingest.run([sent(("u", {"$set": FULL}))], wait_seconds=5)
    assert {each: has(engine, each, value) for each, value in FULL.items()} == had


def test_an_update_changes_when_a_profile_was_updated(ingest, open_engine):
    engine = open_engine()
    ingest.run([sent(("u", {"$set": {"a": 1}}), at_us=1_000_000)], wait_seconds=5)
    assert count(engine, "$updated_at", "<", "2000-01-01") == 1
    ingest.run([sent(("u", {"$set": {"a": 1}}), at_us=1_700_000_000_000_000)], wait_seconds=5)
    assert (count(engine, "$updated_at", "<", "2000-01-01"), count(engine, "$created_at", "<", "2000-01-01")) == (0, 1)


def test_updates_of_many_properties_are_taken_in_as_whole_profiles(monkeypatch, ingest, open_engine):
    engine = open_engine()
    update(ingest, *((f"u{each}", {"a": 0, f"p{each}": 1}) for each in range(20)))
    assert count(engine, "a", "=", 0) == 20
    taken_in = noted(monkeypatch)
    for each in range(20):
        update(ingest, (f"u{each}", {f"p{each}": 2}))
    assert [count(engine, f"p{each}", "=", 2) for each in range(20)] == [1] * 20
    assert taken_in == [("insert", 20)]


def test_a_copy_without_somebody_who_was_updated_is_made_anew(ingest, open_engine, told):
    update(ingest, ("u", {"a": 1}), ("w", {"a": 1}))
    engine = open_engine()
    assert count(engine, "a", "=", 1) == 2
    engine._keeper._copy._connection.execute("DELETE FROM p1 WHERE id = 'w'")
    update(ingest, ("u", {"a": 2}))
    assert count(engine, "a", "notNull") == 1  # nobody can know
    update(ingest, ("w", {"a": 2}))
    assert count(engine, "a", "=", 2) == 2
    assert ("cohorts_copy_damaged", {"file": "cohorts.1.duckdb", "reason": "Strayed"}) in told


def test_after_a_question_changes_are_followed_at_once(monkeypatch, store, ingest, open_engine):
    monkeypatch.setattr("traitbase.segments.keeping._CATCH_UP_SECONDS", 3_600)
    update(ingest, ("u", {"a": 1}))
    engine = open_engine()
    engine.start()
    until(lambda: engine.state().doing == "ready")
    assert count(engine, "a", "=", 1) == 1
    update(ingest, ("u", {"a": 2}))
    with store.open_moment() as moment:
        until(lambda: engine._keeper._copy.position == moment.feed_end())
    monkeypatch.setattr("traitbase.segments.keeping._FOLLOWING_SECONDS", 0)
    assert not engine._keeper._is_followed()


@pytest.mark.parametrize("sizes", [[], [3], [3, 0, 5], [2_000_000, 10, 1_000_000, 7], [4_000_000, 4_000_000, 1]])
def test_texts_are_joined_until_they_are_worth_a_statement(sizes):
    texts = [b"x" * size for size in sizes]
    joined = list(gathered(texts))
    assert b"\n".join(joined) == b"\n".join(filter(None, texts))
    assert all(len(each) >= 1_000_000 for each in joined[:1] if len(joined) > 1)
    assert all(len(each) >= 3_000_000 for each in joined[1:-1])
    assert all(len(each) < 3_000_000 + max(sizes) for each in joined)


@pytest.mark.usefixtures("every_update_counts")
def test_what_changed_often_is_written_anew_in_the_background(monkeypatch, ingest, open_engine, told, tmp_path):
    monkeypatch.setattr("traitbase.segments.keeping._WORTH_REWRITING", 50)
    engine = open_engine()
    engine.start()
    for number in range(100):
        update(ingest, *((f"u{each}", {"a": number}) for each in range(20)))
        assert count(engine, "a", "=", number) == 20
    until(lambda: "cohorts_rewritten" in told.events)
    ingest.run([asked(Erase(("u0",)))], wait_seconds=5)
    assert count(engine, "a", "=", 99) == 19
    assert engine.clear_traces() is True
    assert count(engine, "a", "=", 99) == 19
    until(lambda: len(list(tmp_path.glob("cohorts.*.duckdb"))) == 1)


@pytest.mark.usefixtures("every_update_counts")
def test_it_is_written_anew_again_at_once_when_the_log_presses_on_memory(monkeypatch, ingest, open_engine, told):
    monkeypatch.setattr("traitbase.segments.keeping._REST_AFTER_REWRITING", 1e9)
    monkeypatch.setattr("traitbase.segments.keeping._WORTH_REWRITING", 10)

    def rewritten() -> int:
        return told.events.count("cohorts_rewritten")

    engine = open_engine()
    update(ingest, *((f"u{each}", {"a": 0}) for each in range(20)))
    engine.start()
    until(lambda: engine.state().doing == "ready")
    update(ingest, *((f"u{each}", {"a": 1}) for each in range(20)))
    until(lambda: rewritten() == 1)
    update(ingest, *((f"u{each}", {"a": 2}) for each in range(20)))
    assert count(engine, "a", "=", 2) == 20
    engine._keeper._keep_up()
    assert rewritten() == 1  # it rests
    monkeypatch.setattr("traitbase.segments.keeping._LOG_SHARE", 10**9)
    until(lambda: rewritten() >= 2)
    assert count(engine, "a", "=", 2) == 20


@pytest.mark.usefixtures("every_update_counts")
def test_it_keeps_up_while_it_is_written_anew(monkeypatch, ingest, open_engine, told):
    monkeypatch.setattr("traitbase.segments.keeping._WORTH_CATCHING_UP", 5)
    monkeypatch.setattr("traitbase.segments.keeping._WORTH_REWRITING", 10)
    may_go_on = threading.Event()
    began = held_writing_anew(monkeypatch, may_go_on)
    update(ingest, *((f"u{each}", {"a": 0}) for each in range(20)))
    engine = open_engine()
    engine.start()
    until(lambda: engine.state().doing == "ready")
    for number in range(1, 4):
        update(ingest, *((f"u{each}", {"a": number}) for each in range(20)))
        assert count(engine, "a", "=", number) == 20
        assert began.wait(30)
    assert "cohorts_rewritten" not in told.events
    may_go_on.set()
    until(lambda: "cohorts_rewritten" in told.events)
    assert count(engine, "a", "=", 3) == 20


@pytest.mark.usefixtures("every_update_counts")
def test_a_copy_that_cannot_be_written_anew_leaves_nothing_and_is_not_tried_again_at_once(
    monkeypatch, ingest, open_engine, told, tmp_path
):
    import duckdb

    monkeypatch.setattr("traitbase.segments.keeping._WORTH_REWRITING", 10)
    monkeypatch.setattr("traitbase.segments.keeping._LOG_SHARE", 10**9)  # not even if the log presses
    may_go_on = threading.Event()
    began = held_writing_anew(monkeypatch, may_go_on, fault=duckdb.IOException("No space left on device"))
    update(ingest, *((f"u{each}", {"a": 0}) for each in range(20)))
    engine = open_engine()
    engine.start()
    until(lambda: engine.state().doing == "ready")
    update(ingest, *((f"u{each}", {"a": 1}) for each in range(20)))
    assert (count(engine, "a", "=", 1), began.wait(30)) == (20, True)
    assert len(list(tmp_path.glob("cohorts.*.duckdb"))) == 2
    may_go_on.set()
    until(lambda: ("cohorts_failed", {"error": "IOException", "message": ""}) in told)
    began.clear()
    assert len(list(tmp_path.glob("cohorts.*.duckdb"))) == 1
    engine._keeper._keep_up()
    assert not began.is_set()
    monkeypatch.setattr(engine._keeper, "_retry_at", 0)
    until(began.is_set)
    assert count(engine, "a", "=", 1) == 20


def held_writing_anew(monkeypatch, may_go_on: threading.Event, fault: Exception | None = None) -> threading.Event:
    """Hold the writing of a copy to another file until it may go on, and then fail if there is a fault."""
    began = threading.Event()
    write = WritingAnew.write

    def held(writing: WritingAnew) -> None:
        write(writing)
        began.set()
        may_go_on.wait(30)
        if fault is not None:
            raise fault

    monkeypatch.setattr(WritingAnew, "write", held)
    return began


@pytest.mark.usefixtures("every_update_counts")
def test_what_is_being_written_anew_is_given_up_when_the_server_stops(monkeypatch, ingest, open_engine, told, tmp_path):
    monkeypatch.setattr("traitbase.segments.keeping._WORTH_REWRITING", 1)
    update(ingest, ("u", {"a": 1}))
    engine = open_engine()
    assert count(engine, "a", "=", 1) == 1
    many = "CREATE TABLE p99 AS SELECT i::VARCHAR || 'and more' AS t FROM range(10000000) AS r(i)"
    engine._keeper._copy._connection.execute(many)
    update(ingest, ("u", {"a": 2}))
    assert count(engine, "a", "=", 2) == 1
    engine.start()
    until(lambda: len(list(tmp_path.glob("cohorts.*.duckdb"))) == 2)
    engine.close()
    assert ("cohorts_postponed", {"message": "the server is stopping"}) in told
    assert "cohorts_rewritten" not in told.events
    assert len(list(tmp_path.glob("cohorts.*.duckdb"))) == 1
    assert count(open_engine(), "a", "=", 2) == 1


@pytest.mark.usefixtures("every_update_counts")
def test_in_memory_what_changed_often_is_written_anew_in_its_place(monkeypatch, store, ingest, told):
    monkeypatch.setattr("traitbase.segments.keeping._WORTH_REWRITING", 50)
    with contextlib.closing(ColumnarEngine(store, None, Limits(threads=1), tell=told)) as engine:
        update(ingest, *((f"u{each}", {"a": 0, "b": "x"}) for each in range(20)))
        assert count(engine, "a", "=", 0) == 20
        engine.start()
        for number in range(1, 13):
            update(ingest, *((f"u{each}", {"a": number}) for each in range(20)))
            with engine.open_view(LIVE) as view:  # a view that is open goes on seeing what it saw
                assert view.total() == 20
                if engine._keeper._copy.changed_rows >= 50:
                    until(lambda: engine._keeper._copy.changed_rows == 0)
                assert view.total() == 20
            assert count(engine, "a", "=", number) == 20
        ingest.run([asked(Erase(("u0",)))], wait_seconds=5)
        assert (count(engine, "a", "=", 12), count(engine, "b", "=", "x")) == (19, 19)
        assert engine.clear_traces() is True


def test_a_copy_that_cannot_be_made_is_no_error_of_ours(monkeypatch, ingest, open_engine):
    import duckdb

    def fail(_copy: Copy) -> None:
        raise duckdb.IOException("No space left on device")

    update(ingest, ("u", {"a": 1}))
    engine = open_engine()
    with monkeypatch.context() as patched:
        patched.setattr(Copy, "settle", fail)
        with pytest.raises(Refused) as refused:
            count(engine, "a", "=", 1)
        assert (refused.value.code, "there room on the disk" in refused.value.message) == ("cohorts_not_ready", True)
    assert count(engine, "a", "=", 1) == 1
