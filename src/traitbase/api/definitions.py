"""The routes of property definitions: listing, declaring, changing, replaying, deleting them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.bodies import read_json_body
from traitbase.api.cursors import cursor_of, place_in
from traitbase.api.definition_schemas import CHANGE_EXAMPLE, DECLARATION_EXAMPLE
from traitbase.api.openapi import BODY_ERRORS, body_of, error_answer, good_answer
from traitbase.api.spaces import BASE, Version, WorkspaceId, admit, answers, id_in, json_answer
from traitbase.api.turns import Turns
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.spaces import Space
from traitbase.domain.values import JsonValue, Kind
from traitbase.services.cohorts.stored import find_uses_of_property
from traitbase.services.definitions import DefinitionView, get_definition, list_definitions
from traitbase.services.ports import Store
from traitbase.services.redefining import Redefinition, declare, delete, redefine
from traitbase.services.replaying import replay
from traitbase.services.retyping import Asked

_LIST = f"{BASE}/properties"
_ONE = f"{_LIST}/{{name:path}}"
_PAGE_MAX = 5_000
_SUB_PAGE_MAX = 1_000

Cursor = Annotated[str | None, Query(description="next_cursor of the page before")]
Limit = Annotated[int, Query(ge=1, le=_PAGE_MAX, description="items a page")]
SubLimit = Annotated[int, Query(ge=1, le=_SUB_PAGE_MAX, description="items a page")]

_NO_CURSOR = {"400": error_answer("a parameter at fault", "cursor: expected …")}
_NO_PROPERTY = {"404": error_answer("no such path or property", "there is no property 'plan' in this environment")}

_AT_ONCE = 8  # each goes through all profiles of its space


@dataclass(frozen=True, slots=True)
class DefinitionParts:
    """What these routes need. `keeps_history`: whether profiles keep a history of their changes."""

    store: Store
    gate: Gate
    now_us: Callable[[], int]
    new_request_id: Callable[[], str]
    keeps_history: bool = True
    turns: Turns = field(default_factory=lambda: Turns(_AT_ONCE, "changing property definitions"))


@dataclass(frozen=True, slots=True)
class _Caller:
    space: Space
    key: ApiKey


def definition_routes(parts: DefinitionParts) -> APIRouter:
    """Return the routes. Names in paths are taken as they were sent: `%2F` is part of a name."""
    router = APIRouter(tags=["properties"])
    _add_lists(router, parts)
    _add_changes(router, parts)
    _add_one(router, parts)  # last: a name may contain slashes, so it would match what is above, too
    return router


def _add_lists(router: APIRouter, parts: DefinitionParts) -> None:
    store = parts.store
    reader = Depends(_admits(parts.gate, Scope.READ))

    @router.get(
        _LIST,
        summary="The property definitions, in order of name",
        responses=answers({"200": good_answer("a page", "Definitions"), **_NO_CURSOR}),
    )
    def list_properties(*, caller: _Caller = reader, limit: Limit = 1_000, cursor: Cursor = None) -> Response:
        after = None if cursor is None else place_in(cursor, tuple[str])[0]
        views, more = list_definitions(store, caller.space, after=after, limit=limit)
        return _page([wire.definition_answer(view) for view in views], (views[-1].row.name,) if more else None)

    @router.get(
        f"{_ONE}/ignored",
        summary="Values of a property that were ignored in the last days, the newest first",
        responses=answers({"200": good_answer("a page", "IgnoredValues"), **_NO_CURSOR, **_NO_PROPERTY}),
    )
    def list_ignored_values(
        *, caller: _Caller = reader, name: Name, limit: SubLimit = 100, cursor: Cursor = None
    ) -> Response:
        before = None if cursor is None else place_in(cursor, tuple[str, int, str])
        get_definition(store, caller.space, name)
        rows = store.find_ignored_values(caller.space, name, before=before, limit=limit + 1)
        page = rows[:limit]
        more = page[-1][3:6] if len(rows) > limit else None
        return _page([wire.ignored_answer(row) for row in page], more)

    @router.get(
        f"{_ONE}/kept-aside",
        summary="Values that the property's type could not hold, by distinct_id",
        responses=answers({"200": good_answer("a page", "KeptAside"), **_NO_CURSOR, **_NO_PROPERTY}),
    )
    def list_values_kept_aside(
        *, caller: _Caller = reader, name: Name, limit: SubLimit = 100, cursor: Cursor = None
    ) -> Response:
        after = "" if cursor is None else place_in(cursor, tuple[str])[0]
        get_definition(store, caller.space, name)
        rows = store.find_kept_aside(caller.space, name, after=after, limit=limit + 1)
        page = rows[:limit]
        more = (page[-1].distinct_id,) if len(rows) > limit else None
        return _page([wire.kept_aside_answer(row) for row in page], more)


def _add_changes(router: APIRouter, parts: DefinitionParts) -> None:
    store = parts.store
    admin = Depends(_admits(parts.gate, Scope.ADMIN))

    @router.post(
        _LIST,
        summary="Declare a property ahead of its first value",
        status_code=201,
        openapi_extra=body_of("Declaration", DECLARATION_EXAMPLE),
        responses=answers(
            {
                "200": good_answer("it was defined so already; the description is new if one was sent", "Definition"),
                "201": good_answer("declared", "Definition"),
                "400": error_answer("a fault in the body: nothing was done", "name: a property name has …"),
                "409": error_answer("it has another type, or there is no room for more names", "the property …"),
                **BODY_ERRORS,
            }
        ),
    )
    def declare_property(*, caller: _Caller = admin, body: Body) -> Response:
        sent = _read(body, _Declaration)
        asked = _asked(parts, caller)
        with parts.turns.take():
            row, is_new = declare(store, caller.space, sent.name, sent.type, description=sent.description, asked=asked)
        view = DefinitionView(row, None) if is_new else get_definition(store, caller.space, row.name)
        return json_answer(wire.definition_answer(view), status=201 if is_new else 200)

    @router.post(
        f"{_ONE}/replay",
        summary="Apply ignored values of a property after all, in the order in which they came",
        responses=answers({"200": good_answer("done", "Replay"), **_NO_PROPERTY}),
    )
    def replay_property(*, caller: _Caller = admin, name: Name) -> Response:
        with parts.turns.take():
            return json_answer(_replay(parts, caller, name))

    @router.patch(
        _ONE,
        summary="Change a definition: describe, archive, retype it",
        openapi_extra=body_of("DefinitionChange", CHANGE_EXAMPLE),
        responses=answers(
            {
                "200": good_answer("done; with `dry_run`: what it would do", "DefinitionChanged"),
                "400": error_answer("a fault in the body: nothing was done", "type: expected …"),
                **_NO_PROPERTY,
                **BODY_ERRORS,
            }
        ),
    )
    def change_property(
        *,
        caller: _Caller = admin,
        name: Name,
        body: Body,
        dry_run: Annotated[bool, Query(description="only say what it would do; writes nothing")] = False,
    ) -> Response:
        sent = _read(body, _Change)
        if sent == _Change():
            raise _fault("", "expected at least one of description, archived, type and replay")
        asked = _asked(parts, caller)
        change = Redefinition(sent.description, _or_none(sent.archived), _or_none(sent.type))
        with parts.turns.take():
            done = redefine(store, caller.space, name, change, asked=asked, dry_run=dry_run)
            replayed = _replay(parts, caller, name) if sent.replay and not dry_run else None
        view = get_definition(store, caller.space, name)
        if dry_run:
            view = view._replace(row=done.definition)
        answer: dict[str, Any] = {
            "request_id": None if dry_run else asked.request_id,
            "dry_run": dry_run,
            "property": wire.definition_answer(view),
            "retype": None if done.retyped is None else wire.retyped_answer(done.retyped, done.definition.kind),
            "replayable": done.replayable,
            "replay": replayed,
        }
        return json_answer(answer)


def _add_one(router: APIRouter, parts: DefinitionParts) -> None:
    store = parts.store
    reader = Depends(_admits(parts.gate, Scope.READ))
    admin = Depends(_admits(parts.gate, Scope.ADMIN))

    @router.get(
        _ONE,
        summary="A property definition",
        responses=answers({"200": good_answer("the definition", "Definition"), **_NO_PROPERTY}),
    )
    def read_property(*, caller: _Caller = reader, name: Name) -> Response:
        return json_answer(wire.definition_answer(get_definition(store, caller.space, name)))

    @router.delete(
        _ONE,
        summary="Delete a property: its definition and all its values",
        responses=answers(
            {
                "200": good_answer("gone", "DefinitionDeleted"),
                "400": error_answer("not confirmed: nothing was done", "confirm: expected the property's name …"),
                "409": error_answer("something uses it", "the property 'plan' is used by …"),
                **_NO_PROPERTY,
            }
        ),
    )
    def delete_property(
        *,
        caller: _Caller = admin,
        name: Name,
        confirm: Annotated[str | None, Query(description="the property's name once more: there is no undo")] = None,
    ) -> Response:
        if confirm != name:
            raise _fault("confirm", "expected the property's name once more: this deletes all its values for good")
        asked = _asked(parts, caller)
        with parts.turns.take():
            done = delete(store, caller.space, name, asked=asked, find_uses=(find_uses_of_property(store),))
        return json_answer({"request_id": asked.request_id, **done._asdict()})


def _admits(gate: Gate, needed: Scope) -> Callable[..., _Caller]:
    def admitted(request: Request, workspace_id: WorkspaceId, version: Version) -> _Caller:
        space = Space(workspace_id, version.value)
        return _Caller(space, admit(gate, request, space, needed=needed))

    return admitted


async def _body(request: Request) -> JsonValue:
    return (await read_json_body(request, lambda value: value))[0]


Body = Annotated[JsonValue, Depends(_body)]


def _name(name: str) -> str:
    return id_in(name)


Name = Annotated[str, Depends(_name)]


def _replay(parts: DefinitionParts, caller: _Caller, name: Name) -> dict[str, Any]:
    """Replay under a request id of its own: the receipt lists what was applied."""
    asked = _asked(parts, caller)
    done = replay(parts.store, caller.space, name, asked)
    return {"request_id": asked.request_id, **wire.replayed_answer(done)}


def _asked(parts: DefinitionParts, caller: _Caller) -> Asked:
    return Asked(parts.new_request_id(), parts.now_us(), caller.key.key_id, parts.keeps_history)


_Set = TypeVar("_Set")
_Sent = TypeVar("_Sent", bound=msgspec.Struct)


class _Declaration(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    type: Kind
    description: str | None = None


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    archived: bool | msgspec.UnsetType = msgspec.UNSET
    type: Kind | msgspec.UnsetType = msgspec.UNSET
    replay: bool = False


def _read(body: JsonValue, shape: type[_Sent]) -> _Sent:
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        path = path.rstrip("`")
        if path == "type":
            message = f"expected one of {', '.join(kind.value for kind in Kind)}"
        raise _fault(path, message) from error


def _or_none(value: _Set | msgspec.UnsetType) -> _Set | None:
    return None if isinstance(value, msgspec.UnsetType) else value


def _fault(path: str, message: str) -> InvalidInput:
    text = f"{path}: {message}" if path else message
    return InvalidInput(text, faults=(Fault(path, message),))


def _page(items: list[dict[str, Any]], more: tuple[object, ...] | None) -> Response:
    return json_answer({"items": items, "next_cursor": None if more is None else cursor_of(more)})
