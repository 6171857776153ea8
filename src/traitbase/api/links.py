"""What comes back from the world: unsubscribe links, opens, clicks, and what providers tell. No API key is asked for.

A link says what it does by itself, signed; a provider signs what it tells. GET changes nothing that matters: mail
scanners follow every link. Source: RFC 8058.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from traitbase.api.bodies import read_whole_body
from traitbase.api.campaign_parts import CampaignParts
from traitbase.api.spaces import id_in, json_answer
from traitbase.domain.edits import Prefer
from traitbase.domain.errors import InvalidInput, NotFound, TraitbaseError
from traitbase.domain.json_text import read_json
from traitbase.services.campaigns.feedback import check_signature, parse_notices
from traitbase.services.campaigns.links import Named, Unsubscription

_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_KEY_OF_LINKS = "link"
"""Stands in the history for the key by which a change came."""

_HEADERS = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-robots-tag": "noindex"}


def link_routes(parts: CampaignParts) -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    _add_unsubscribing(router, parts)
    _add_tracking(router, parts)
    _add_hooks(router, parts)
    return router


def _add_unsubscribing(router: APIRouter, parts: CampaignParts) -> None:
    @router.get("/u/{token}", include_in_schema=False)
    def ask_to_unsubscribe(token: str) -> Response:
        whom = _read(parts, token)
        if whom is None:
            return _page("This link is not valid", "Please use the link in the message itself.", status=404)
        what = f"messages about this topic on {whom.channel}" if whom.subscription_id else f"messages on {whom.channel}"
        form = '<form method="post"><button type="submit">Unsubscribe</button></form>'
        return _page("Unsubscribe", f"Do you want no more {html.escape(what)}?", form)

    @router.post("/u/{token}", include_in_schema=False)
    async def unsubscribe(request: Request, token: str) -> Response:
        whom = _read(parts, token)
        if whom is None:
            return _page("This link is not valid", "Please use the link in the message itself.", status=404)
        await read_whole_body(request)  # `List-Unsubscribe=One-Click`, or a form's: either way it is a POST
        choice = parts.feedback.choice_of(whom)
        try:
            edit = Prefer(whom.distinct_id, choice)
            body = f"unsubscribe {token}".encode()
            await parts.edits.submit(request, whom.named.space, edit, key_id=_KEY_OF_LINKS, body=body)
        except (NotFound, InvalidInput):
            pass  # there is no such profile (any more): the destination is suppressed below
        await parts.work(parts.feedback.note_unsubscribed, whom)
        return _page("You are unsubscribed", "You will get no more of these messages.")


def _add_tracking(router: APIRouter, parts: CampaignParts) -> None:
    @router.get("/t/o/{token}", include_in_schema=False)
    def opened(token: str) -> Response:
        named = parts.links.read_open(id_in(token))
        if named is not None:
            _quietly(parts.feedback.note_opened, named)
        return Response(_PIXEL, media_type="image/gif", headers=_HEADERS)

    @router.get("/t/c/{token}", include_in_schema=False)
    def clicked(token: str) -> Response:
        click = parts.links.read_click(id_in(token))
        if click is None:
            return _page("This link is not valid", "Please use the link in the message itself.", status=404)
        _quietly(parts.feedback.note_clicked, click.named)
        return RedirectResponse(click.url, status_code=302, headers=_HEADERS)


def _add_hooks(router: APIRouter, parts: CampaignParts) -> None:
    @router.post("/v1/hooks/{integration_id}", include_in_schema=False)
    async def hook(request: Request, integration_id: str) -> Response:
        body = await read_whole_body(request)
        integration_id = id_in(integration_id)

        def take() -> Response:
            found = parts.store.find_integration_anywhere(integration_id.replace("\0", ""))
            secret = None if found is None else parts.integrations.signing_secret(found[0], integration_id)
            check_signature(secret or parts.new_request_id(), request.headers, body, now_us=parts.now_us())
            assert found is not None, "nobody signs with a secret that was just made up"
            notices = parse_notices(read_json(body))
            taken, unknown = parts.feedback.take(found[0], notices, integration_id=integration_id)
            return json_answer({"taken": taken, "unknown": unknown})

        return await parts.work(take)


def _read(parts: CampaignParts, token: str) -> Unsubscription | None:
    return parts.links.read_unsubscribe(id_in(token))


def _quietly(do: Callable[[Named], None], named: Named) -> None:
    try:
        do(named)
    except TraitbaseError:
        return  # whoever follows a link need not know that it could not be written down


def _page(title: str, text: str, form: str = "", *, status: int = 200) -> Response:
    body = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;"
        "padding:0 1rem}button{font:inherit;padding:.5rem 1.5rem}</style>"
        f"<h1>{title}</h1><p>{text}</p>{form}</html>"
    )
    headers = {
        **_HEADERS,
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    }
    return Response(body, status_code=status, media_type="text/html; charset=utf-8", headers=headers)
