"""Integrations: by what messages leave. Each can send on some channels; what is secret of it is never shown again."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from traitbase.domain.destinations import TOKEN_CHANNELS, Channel, find_key
from traitbase.domain.errors import Fault
from traitbase.domain.forms import Form, raise_faults
from traitbase.domain.values import JsonValue

PLACEHOLDER = "{destination}"
"""Where an Apprise URL takes the recipient's own address."""

URL_CHARACTERS_MAX = 2_048
RATE_MAX = 100_000.0

_LOCAL_SERVICES = (
    "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows", "json", "jsons", "xml", "xmls", "form",
    "forms", "mailto", "mailtos",
)  # fmt: skip
"""What Apprise speaks that reaches this machine, or any address without the checks of a webhook, or is SMTP."""

_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


class IntegrationKind(StrEnum):
    """What an integration speaks."""

    SANDBOX = "sandbox"
    SMTP = "smtp"
    WEBHOOK = "webhook"
    APPRISE = "apprise"


class Security(StrEnum):
    """How a connection to an SMTP server is protected: not, from its STARTTLS on, or from its first byte."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class Smtp(msgspec.Struct, frozen=True, tag="smtp"):
    """A mail server. `connections`: how many are held open at once."""

    host: str
    port: int
    security: Security
    username: str | None
    from_address: str
    from_name: str | None
    reply_to: str | None
    connections: int


class Webhook(msgspec.Struct, frozen=True, tag="webhook"):
    """A URL that messages are posted to."""

    url: str


class AppriseService(msgspec.Struct, frozen=True, tag="apprise"):
    """A service that Apprise speaks. Its URL has the credentials in it, so it is a secret; `service` is its scheme."""

    service: str


class Sandbox(msgspec.Struct, frozen=True, tag="sandbox"):
    """Records messages and sends nothing."""


IntegrationSettings = Smtp | Webhook | AppriseService | Sandbox


class Integration(msgspec.Struct, frozen=True):
    """What is stored of an integration beside its name and secrets. `rate`: messages a second, None: as fast as can."""

    settings: IntegrationSettings
    rate: float | None = None


class IntegrationDraft(msgspec.Struct, frozen=True):
    """An integration as it was sent. Secrets that were not sent stay as they are. `revision`: only in its place."""

    name: str
    integration: Integration
    secrets: Mapping[str, str]
    revision: int | None = None


SECRETS: Mapping[IntegrationKind, tuple[str, ...]] = {
    IntegrationKind.SANDBOX: ("signing_secret",),
    IntegrationKind.SMTP: ("password", "signing_secret"),
    IntegrationKind.WEBHOOK: ("signing_secret",),
    IntegrationKind.APPRISE: ("url", "signing_secret"),
}
"""What is secret of each kind. The signing secret also signs what a provider tells about deliveries."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Integration).decode


def new_integration_id() -> str:
    """Return a fresh integration id: `in_` and 16 hexadecimal digits."""
    return f"in_{secrets.token_hex(8)}"


def new_signing_secret() -> str:
    """Return a fresh secret: 256 random bits."""
    return f"whsec_{secrets.token_urlsafe(32)}"


def encode_integration(integration: Integration) -> str:
    """Return the JSON object that is stored."""
    return _encode(integration).decode()


def decode_integration(document: str) -> Integration:
    """Return what `encode_integration` was given."""
    return _decode(document)


def kind_of(integration: Integration) -> IntegrationKind:
    """Return what an integration speaks."""
    return IntegrationKind(str(type(integration.settings).__struct_config__.tag))


def sends_on(integration: Integration, channel: Channel) -> bool:
    """Tell whether an integration can send on a channel."""
    match integration.settings:
        case Smtp():
            return channel is Channel.EMAIL
        case AppriseService():
            return channel not in TOKEN_CHANNELS
        case _:
            return True


def parse_integration(
    body: JsonValue, *, has_secrets: frozenset[str] = frozenset(), is_edit: bool = False
) -> IntegrationDraft:
    """Read `{"name", "kind", "rate"?, "settings", "secrets"?}`, of an edit `"revision"?`, too.

    `has_secrets`: what is there already. Raises InvalidInput naming every fault.
    """
    form = Form(body)
    name = form.name("name")
    kind = form.word("kind", IntegrationKind)
    rate = form.number("rate", above=0, most=RATE_MAX)
    settings, given = form.inner("settings"), form.inner("secrets")
    kept = {each: found for each in SECRETS[kind] if (found := given.line(each, characters=URL_CHARACTERS_MAX))}
    read: IntegrationSettings
    match kind:
        case IntegrationKind.SMTP:
            read = _read_smtp(settings, has_password="password" in {*kept, *has_secrets})
        case IntegrationKind.WEBHOOK:
            read = _read_webhook(settings)
        case IntegrationKind.APPRISE:
            read = _read_apprise(settings, given, kept.get("url"), has_secrets)
        case IntegrationKind.SANDBOX:
            read = Sandbox()
    settings.close()
    given.close()
    revision = form.revision() if is_edit else None
    form.end()
    return IntegrationDraft(name, Integration(read, rate), kept, revision)


def _read_smtp(form: Form, *, has_password: bool) -> Smtp:
    host = form.line("host") or ""
    if not _HOST.fullmatch(host):
        form.refuse("host", "expected the name or address of a mail server, such as smtp.example.com")
    security = form.word("security", Security, otherwise=Security.STARTTLS)
    usual = {Security.NONE: 25, Security.STARTTLS: 587, Security.TLS: 465}[security]
    port = form.whole("port", least=1, most=65_535, otherwise=usual)
    username = form.line("username")
    if username is not None and not has_password:
        form.faults.append(Fault("secrets.password", "expected the password of the username"))
    return Smtp(
        host,
        port,
        security,
        username,
        _address(form, "from_address", needed=True) or "",
        form.line("from_name"),
        _address(form, "reply_to", needed=False),
        form.whole("connections", least=1, most=100, otherwise=10),
    )


def _address(form: Form, name: str, *, needed: bool) -> str | None:
    found = form.line(name)
    if found is None and not needed:
        return None
    if found is None or find_key(Channel.EMAIL, found) is None:
        form.refuse(name, "expected an email address, such as news@example.com, and nothing around it")
        return None
    return found


def _read_webhook(form: Form) -> Webhook:
    url = form.line("url", characters=URL_CHARACTERS_MAX) or ""
    parts = _split(url)
    if parts is None or parts[0] not in ("http", "https") or not parts[1]:
        form.refuse("url", "expected a URL, such as https://hooks.example.com/messages")
    elif parts[2]:
        form.refuse("url", "expected no name and password in it: what is posted is signed with secrets.signing_secret")
    return Webhook(url)


def _read_apprise(form: Form, given: Form, url: str | None, has_secrets: frozenset[str]) -> AppriseService:
    scheme = form.line("service")  # is sent back by who read it
    if url is None:
        if "url" not in has_secrets:
            given.refuse("url", f"expected an Apprise URL, such as ntfy://{PLACEHOLDER}")
        return AppriseService(scheme or "")
    found = url.partition("://")[0].lower() if "://" in url else ""
    if not found:
        given.refuse("url", f"expected an Apprise URL, such as ntfy://{PLACEHOLDER}")
    elif found in _LOCAL_SERVICES:
        given.refuse("url", f"{found}:// is not spoken here: use an integration of kind webhook or smtp")
    if url.count(PLACEHOLDER) > 1:
        given.refuse("url", f"expected {PLACEHOLDER} at most once: where the recipient's own address goes")
    return AppriseService(found)


def _split(url: str) -> tuple[str, str, bool] | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is none
    except ValueError:
        return None
    return parts.scheme, parts.hostname or "", "@" in parts.netloc


def check_sends_on(integration: Integration, channel: Channel, *, path: str) -> None:
    """Raise InvalidInput if an integration cannot send on a channel."""
    if not sends_on(integration, channel):
        message = f"an integration of kind {kind_of(integration)} does not send on {channel}"
        raise_faults([Fault(path, message)])
