"""Links in messages: to unsubscribe, and to see whether a message was opened and what was clicked.

Each is a signed token that says all there is to know. Only URLs whose scheme and host stand in the template itself are
led through us: what a profile's properties say is not ours to vouch for.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from traitbase.domain.spaces import Space
from traitbase.services.campaigns.sealing import Vault

_UNSUBSCRIBE, _OPEN, _CLICK = "unsubscribe", "open", "click"
_HREF = re.compile(r"""(<a\b[^>]*?\shref\s*=\s*)("([^"]*)"|'([^']*)')""", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


class Named(NamedTuple):
    """The delivery that a link belongs to."""

    space: Space
    run_id: str
    number: int


class Unsubscription(NamedTuple):
    """Who unsubscribes from what by a link. `subscription_id` None: from everything."""

    named: Named
    distinct_id: str
    channel: str
    subscription_id: str | None


class Click(NamedTuple):
    """Where a link that was clicked leads."""

    named: Named
    url: str


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and reads links below the address under which people reach this server."""

    vault: Vault
    public_url: str

    def unsubscribe_url(self, whom: Unsubscription) -> str:
        """Return the URL that unsubscribes somebody."""
        parts = (*_parts(whom.named), whom.distinct_id, whom.channel, whom.subscription_id or "")
        return f"{self.public_url}/u/{self.vault.sign(_UNSUBSCRIBE, parts)}"

    def read_unsubscribe(self, token: str) -> Unsubscription | None:
        """Return what an unsubscribe link says; None if it is none of ours."""
        found = self.vault.read(_UNSUBSCRIBE, token)
        return None if found is None else Unsubscription(_named(found), found[4], found[5], found[6] or None)

    def read_open(self, token: str) -> Named | None:
        """Return whose message was opened; None if it is none of ours."""
        found = self.vault.read(_OPEN, token)
        return None if found is None else _named(found)

    def read_click(self, token: str) -> Click | None:
        """Return what was clicked; None if it is none of ours."""
        found = self.vault.read(_CLICK, token)
        return None if found is None else Click(_named(found), found[4])

    def with_pixel(self, text: str, named: Named) -> str:
        """Return HTML with a picture of one pixel that tells that it was opened."""
        url = f"{self.public_url}/t/o/{self.vault.sign(_OPEN, _parts(named))}"
        return _before_the_end(text, f'<img src="{url}" width="1" height="1" alt="">')

    def with_clicks(self, text: str, source: str, named: Named) -> str:
        """Return HTML whose links lead through us, those of hosts that stand in its template."""
        origins = {origin for match in _HREF.finditer(source) if (origin := _origin_of(_url_in(match)))}

        def led(match: re.Match[str]) -> str:
            url = _url_in(match)
            if _origin_of(url) not in origins or url.startswith(f"{self.public_url}/u/"):
                return match[0]
            token = self.vault.sign(_CLICK, (*_parts(named), url))
            return f'{match[1]}"{self.public_url}/t/c/{token}"'

        return _HREF.sub(led, text)


def with_unsubscribe_link(text: str, url: str) -> str:
    """Return HTML with a visible link to unsubscribe at its end."""
    return _before_the_end(text, f'<p><a href="{html.escape(url)}">Unsubscribe</a></p>')


def _before_the_end(text: str, piece: str) -> str:
    ends = list(_BODY_END.finditer(text))
    at = ends[-1].start() if ends else len(text)
    return f"{text[:at]}{piece}{text[at:]}"


def _url_in(match: re.Match[str]) -> str:
    return html.unescape(match[3] if match[3] is not None else match[4]).strip()


def _origin_of(url: str) -> str | None:
    """Return scheme and host of a web address, None for another one, or if they are not written out."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or "{" in parts.netloc:
        return None
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _parts(named: Named) -> tuple[str, ...]:
    return (*named.space, named.run_id, str(named.number))


def _named(parts: list[str]) -> Named:
    return Named(Space(parts[0], parts[1]), parts[2], int(parts[3]))
