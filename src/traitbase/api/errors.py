"""The one table that turns errors into HTTP answers. Every error body has `status` and `_message`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from traitbase.domain.errors import Conflict, InvalidInput, NotFound, Refused, TraitbaseError

RETRY_AFTER_SECONDS = "1"
UNAUTHENTICATED = "Invalid API details"
"""One text for a missing, wrong, foreign, expired or revoked key, so that nothing can be found out by trying."""

_REFUSALS = {
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "bad_signature": HTTPStatus.UNAUTHORIZED,
    "insufficient_scope": HTTPStatus.FORBIDDEN,
    "too_many_properties": HTTPStatus.CONFLICT,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_encoding": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}


def status_of(error: BaseException) -> int:
    """Return the HTTP status that answers an error: 4xx never send it again as it is, 5xx do."""
    match error:
        case InvalidInput():
            return HTTPStatus.BAD_REQUEST
        case NotFound(code="profile_not_found"):
            return HTTPStatus.BAD_REQUEST  # as Fyno answers it
        case NotFound():
            return HTTPStatus.NOT_FOUND
        case Conflict():
            return HTTPStatus.CONFLICT
        case Refused(code=code):
            return _REFUSALS.get(code, HTTPStatus.SERVICE_UNAVAILABLE)
        case OSError():
            return HTTPStatus.SERVICE_UNAVAILABLE  # such as too many open files: it passes
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR


def answer_to(error: BaseException) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Return status, JSON body and extra headers for an error. Unknown errors tell nothing about themselves."""
    status = status_of(error)
    known = isinstance(error, TraitbaseError)
    message = error.message if isinstance(error, TraitbaseError) else "something went wrong on our side; send it again"
    body: dict[str, Any] = {"status": "error", "_message": message}
    if known and isinstance(error, InvalidInput) and error.faults:
        body["errors"] = [{"path": fault.path, "message": fault.message} for fault in error.faults]
    headers = []
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", RETRY_AFTER_SECONDS.encode()))
    if status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNAUTHORIZED):
        headers.append((b"connection", b"close"))  # the rest of a body that nobody will read need not be sent
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        headers.append((b"accept-encoding", b"gzip, deflate, zstd"))
    return status, msgspec.json.encode(body), headers
