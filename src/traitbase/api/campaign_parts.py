"""What the routes of integrations, events and campaigns share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
from fastapi import Request

from traitbase.api.auth import Gate
from traitbase.api.bodies import read_json_body
from traitbase.api.editing import Edits
from traitbase.api.spaces import Version, admit
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.spaces import Space
from traitbase.domain.values import JsonValue
from traitbase.services.campaigns.calls import Calls
from traitbase.services.campaigns.events import Events
from traitbase.services.campaigns.feedback import Feedback
from traitbase.services.campaigns.integrations import Integrations
from traitbase.services.campaigns.links import Links
from traitbase.services.campaigns.ports import CampaignStore
from traitbase.services.campaigns.preparing import Audiences
from traitbase.services.campaigns.steering import Steering

NESTING_MAX = 20
"""Brackets within brackets in a body: the data of a call may be any JSON."""

_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True)
class CampaignParts:
    """What the routes need. `wake`: there is something to send."""

    store: CampaignStore
    gate: Gate
    edits: Edits
    integrations: Integrations
    events: Events
    calls: Calls
    steering: Steering
    audiences: Audiences
    feedback: Feedback
    links: Links
    now_us: Callable[[], int]
    new_request_id: Callable[[], str]
    wake: Callable[[], None]
    threads: anyio.CapacityLimiter

    def enter(self, request: Request, workspace_id: str, version: Version, needed: Scope) -> Space:
        """Let a request in."""
        return self.enter_with_key(request, workspace_id, version, needed)[0]

    def enter_with_key(
        self, request: Request, workspace_id: str, version: Version, needed: Scope
    ) -> tuple[Space, ApiKey]:
        """Let a request in, and tell by which key."""
        space = Space(workspace_id, version.value)
        return space, admit(self.gate, request, space, needed=needed)

    async def work(self, do: Callable[..., _Done], *arguments: Any) -> _Done:
        """Do something that waits for the storage or a network, in one of a few threads."""
        return await anyio.to_thread.run_sync(do, *arguments, limiter=self.threads)


async def read_body(request: Request) -> JsonValue:
    """Return a body as it was sent."""
    return (await read_json_body(request, _unread, nesting_max=NESTING_MAX))[0]


async def read_body_and_text(request: Request) -> tuple[JsonValue, bytes]:
    """Return a body as it was sent, and its text."""
    return await read_json_body(request, _unread, nesting_max=NESTING_MAX)


def _unread(sent: JsonValue) -> JsonValue:
    return sent
