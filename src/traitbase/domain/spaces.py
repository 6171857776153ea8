"""Workspaces, their two environments, and the *space* (one environment of one workspace) that bounds all data."""

from __future__ import annotations

import errno
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from traitbase.domain.errors import Fault, InvalidInput

# What systems have beside IANA's names: a zone that each machine has its own of, and other copies of the same zones.
_NO_IANA_NAMES = re.compile(r"localtime|posixrules|Factory|(posix|right)/.*", re.DOTALL)
_WORKSPACE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Environment(StrEnum):
    """The two sets of data of a workspace; the wire calls it *version*."""

    LIVE = "live"
    TEST = "test"


class Space(NamedTuple):
    """One environment of one workspace: profiles, definitions and receipts never cross its border."""

    workspace_id: str
    environment: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant. `timezone` is an IANA name: the zone in which dates written without one are read."""

    workspace_id: str
    name: str
    timezone: str
    created_at_us: int


def new_workspace_id() -> str:
    """Return a fresh workspace id: `ws_` and 12 hexadecimal digits."""
    return f"ws_{secrets.token_hex(6)}"


def check_workspace(workspace: Workspace) -> Workspace:
    """Return the workspace unchanged, or raise InvalidInput naming every field that cannot be accepted."""
    faults = []
    if not _WORKSPACE_ID.fullmatch(workspace.workspace_id):
        faults.append(Fault("id", "a workspace id is 1 to 64 letters, digits, '-' or '_'"))
    if not 1 <= len(workspace.name.strip()) <= 255:
        faults.append(Fault("name", "a workspace name is 1 to 255 characters"))
    if find_zone(workspace.timezone) is None:
        faults.append(
            Fault(
                "timezone", f"{workspace.timezone!r} is no IANA time zone; try a name such as 'Europe/Berlin' or 'UTC'"
            )
        )
    if faults:
        raise InvalidInput("; ".join(f"{fault.path}: {fault.message}" for fault in faults), faults=tuple(faults))
    return workspace


def zone_of(workspace: Workspace) -> ZoneInfo:
    """Return the time zone of a stored workspace."""
    zone = find_zone(workspace.timezone)
    assert zone is not None, "it was checked when the workspace was made"
    return zone


def find_zone(name: str) -> ZoneInfo | None:
    """Return the IANA zone of that name (aliases such as `Asia/Calcutta` included), or None."""
    if _NO_IANA_NAMES.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise  # says nothing about the name
        return None  # the name of a folder
    except (ValueError, KeyError):  # unknown names raise KeyError, odd ones ValueError
        return None
