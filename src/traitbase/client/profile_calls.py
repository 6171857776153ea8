"""Calls that make, change, merge and delete profiles and their channels: their bodies and addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from traitbase.client.answers import Done, Envelope, read
from traitbase.client.calling import Caller, segment
from traitbase.client.errors import InvalidValue
from traitbase.client.values import Conversion, PropertyValue, checked_text, encode

Channel = Mapping[str, Any]
"""`{"email": "ada@example.com", "push": [{"token": "…", "integration_id": None, "status": 1}]}`."""

_STATUSES = (0, 1)


class ProfileCalls:
    """The calls on whole profiles. Each returns `Done`: the server's words, and the request id of the receipt."""

    def __init__(self, caller: Caller, conversion: Conversion) -> None:
        self._caller = caller
        self._conversion = conversion

    def create_profile(
        self,
        distinct_id: str,
        *,
        name: str | None = None,
        status: Literal[0, 1] | None = None,
        timezone: str | None = None,
        channel: Channel | None = None,
        properties: Mapping[str, PropertyValue] | None = None,
    ) -> Done:
        """Make a profile; what is None is left to the server. `timezone` is an IANA name, `status` 0 gets nothing.

        Raises Conflict if the distinct_id is taken, InvalidRequest for a destination that is none.
        """
        fields = self._fields(name=name, status=status, timezone=timezone, channel=channel, properties=properties)
        return self._write("POST", "profiles", {"distinct_id": _identity(distinct_id), **fields})

    def update_profile(
        self,
        distinct_id: str,
        *,
        new_distinct_id: str | None = None,
        name: str | None = None,
        status: Literal[0, 1] | None = None,
        timezone: str | None = None,
        channel: Channel | None = None,
        properties: Mapping[str, PropertyValue] | None = None,
    ) -> Done:
        """Replace what is not None; the rest stays. `channel` replaces all channels, `new_distinct_id` renames.

        Raises NotFound for an unknown profile.
        """
        fields = self._fields(name=name, status=status, timezone=timezone, channel=channel, properties=properties)
        if new_distinct_id is not None:
            fields["distinct_id"] = _identity(new_distinct_id, "new_distinct_id")
        if not fields:
            raise InvalidValue("update_profile", "there is nothing to change: give at least one of its arguments")
        return self._write("PUT", f"profiles/{segment(_identity(distinct_id))}", fields)

    def merge(self, source: str, target: str) -> Done:
        """Merge profile `source` into `target`, whose values win; later calls for `source` reach `target`.

        Raises NotFound for an unknown source.
        """
        into = segment(_identity(target, "target"))
        return self._write("PATCH", f"profiles/{segment(_identity(source, 'source'))}/merge/{into}", {})

    def delete_profiles(self, distinct_ids: Sequence[str]) -> Done:
        """Erase profiles with everything that is kept about them. It takes an `admin` key.

        Raises NotFound if none of them exists.
        """
        if isinstance(distinct_ids, str) or not distinct_ids:
            raise InvalidValue("distinct_ids", "expected a list of at least one distinct_id")
        ids = [_identity(one, f"distinct_ids[{position}]") for position, one in enumerate(distinct_ids)]
        return self._write("POST", "profiles/delete", {"distinct_id": ids})

    def update_channel(self, distinct_id: str, channel: Channel) -> Done:
        """Overwrite single destinations, and add push, inapp and webpush tokens or update those that are known.

        Raises NotFound for an unknown profile, InvalidRequest for a destination that is none.
        """
        if not channel:
            raise InvalidValue("channel", "expected at least one channel")
        return self._write("PATCH", f"profiles/{segment(_identity(distinct_id))}/channel", {"channel": channel})

    def delete_channel(
        self,
        distinct_id: str,
        channels: Sequence[str] = (),
        *,
        push: Sequence[str] = (),
        inapp: Sequence[str] = (),
        webpush: Sequence[str] = (),
    ) -> Done:
        """Take away whole channels (`["sms"]`), or single tokens, not both in one call.

        Raises NotFound if the profile or what should go does not exist.
        """
        tokens = {"push": push, "inapp": inapp, "webpush": webpush}
        named = {word: list(_listed(listed, word)) for word, listed in tokens.items() if listed}
        if bool(channels) == bool(named):
            raise InvalidValue("channels", "give either channels, or tokens (push, inapp, webpush), and not both")
        body = {"channel": list(_listed(channels, "channels"))} if channels else named
        return self._write("POST", f"profiles/{segment(_identity(distinct_id))}/channel/delete", body)

    def _fields(self, *, properties: Mapping[str, PropertyValue] | None, **given: Any) -> dict[str, Any]:
        fields = {word: value for word, value in given.items() if value is not None}
        for word in ("name", "timezone"):
            if word in fields:
                fields[word] = checked_text(fields[word], word)
        if fields.get("status", 1) not in _STATUSES:
            raise InvalidValue("status", f"expected 1 (active) or 0 (receives nothing), not {fields['status']!r}")
        if properties:
            fields["properties"] = self._conversion.properties(properties)
        return fields

    def _write(self, method: str, path: str, body: Mapping[str, Any]) -> Done:
        answer = read(self._caller.write(method, path, encode(body, path="the body")), Envelope)
        return Done(answer.message, answer.request_id, answer.erased, answer.log_cleared, answer.file_rewritten)


def _identity(distinct_id: str, path: str = "distinct_id") -> str:
    if not checked_text(distinct_id, path):
        raise InvalidValue(path, "it must not be empty")
    return str(distinct_id)


def _listed(names: Sequence[str], path: str) -> Sequence[str]:
    if isinstance(names, str):
        raise InvalidValue(path, f"expected a list, not a str: write [{names!r}]")
    return [checked_text(name, f"{path}[{position}]") for position, name in enumerate(names)]
