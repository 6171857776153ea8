"""Keys that must not work in the live environment of North, whatever is asked with them."""

from __future__ import annotations

from pathlib import Path

from support.data import open_store
from support.server import Cast
from traitbase import bootstrap
from traitbase.domain.keys import Reach, Scope
from traitbase.services.workspaces import create_api_key, revoke_api_key

STRANGERS = (
    "nobody",
    "somebody with garbage",
    "somebody with letters that are not ASCII",
    "somebody who read a digest",
    "another workspace's owner",
    "an owner of the other environment",
    "somebody whose key expired",
    "somebody whose key was revoked",
    "somebody at another address",
)


def make_strangers(data: Path, cast: Cast) -> dict[str, str | None]:
    """Make the keys (in this process) and return each under who has it."""
    store = open_store(data)
    now_us = bootstrap.now_us()

    def make(reach: Reach = Reach.BOTH, **fields) -> str:
        made = create_api_key(
            store, workspace_id="north", reach=reach, scope=Scope.ADMIN, name="stranger", at_us=now_us, **fields
        )
        return made.secret

    revoked = create_api_key(
        store, workspace_id="north", reach=Reach.BOTH, scope=Scope.ADMIN, name="revoked", at_us=now_us
    )
    revoke_api_key(store, revoked.key.key_id, at_us=now_us)
    keys = (
        None,
        "tb_x",
        "é",
        "0" * 64,
        cast.cy,
        make(Reach.TEST),
        make(expires_at_us=now_us - 1),
        revoked.secret,
        make(networks=("10.0.0.0/8",)),
    )
    store.close()
    return dict(zip(STRANGERS, keys, strict=True))
