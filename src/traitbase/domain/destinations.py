"""Channels and destinations: what reaches a person, when two destinations are the same, and how a phone is shown.

Sources: phone numbers E.164 (ITU-T), by the metadata of Google's libphonenumber; email addresses RFC 5321 and 6531, by
email-validator, syntax only.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from functools import lru_cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from traitbase.domain.errors import Fault, InvalidInput


class Channel(StrEnum):
    """The ways to reach a person, by their wire names."""

    SMS = "sms"
    WHATSAPP = "whatsapp"
    VOICE = "voice"
    EMAIL = "email"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    PUSH = "push"
    INAPP = "inapp"
    WEBPUSH = "webpush"


PHONE_CHANNELS = frozenset({Channel.SMS, Channel.WHATSAPP, Channel.VOICE})
"""Channels whose destination is a phone number."""

TOKEN_CHANNELS = frozenset({Channel.PUSH, Channel.INAPP, Channel.WEBPUSH})
"""Channels with any number of tokens (one a device) instead of one destination."""

DESTINATION_MAX_CODE_POINTS = 2_048
"""Longest destination or token."""

_PHONE_CHARACTERS = re.compile(r"\s*\+[0-9 \u00a0\u202f()./\-\u2010-\u2015]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


_BY_NAME = {channel.value: channel for channel in Channel}


def find_channel(name: object) -> Channel | None:
    """Return the channel of that wire name, or None."""
    return _BY_NAME.get(name) if isinstance(name, str) else None


def key_of(channel: Channel, destination: str, *, path: str) -> str:
    """Return the form in which equal destinations of a channel are equal texts.

    That is E.164, or an address with its domain in lower case (ASCII), or the text itself. Raises InvalidInput
    (`Invalid destination for channel sms`, the fault naming `path`) if it is none.
    """
    key = _key_of(channel, destination) if len(destination) <= DESTINATION_MAX_CODE_POINTS else None
    if key is None:
        fault = Fault(path, _expected(channel))
        raise InvalidInput(invalid_destination(channel), faults=(fault,), code="invalid_destination")
    return key


def find_key(channel: Channel, destination: str) -> str | None:
    """Return what `key_of` does, or None for what is no destination of the channel."""
    return _key_of(channel, destination) if len(destination) <= DESTINATION_MAX_CODE_POINTS else None


def invalid_destination(channel: str) -> str:
    """Return the message for a destination that is none (Fyno's wording)."""
    return f"Invalid destination for channel {channel}"


def shown(channel: Channel, destination: str) -> str:
    """Return a destination as people read it: phone numbers grouped (`+91 98790 12345`), others as they are."""
    if channel not in PHONE_CHANNELS:
        return destination
    number = _find_phone(destination)
    if number is None:
        return destination
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def country_of(phone: str) -> str | None:
    """Return the country of a phone number (ISO 3166-1 alpha-2, such as `IN`), None for numbers of no country.

    Of several countries that share a code, it is the main one where the number does not tell.
    """
    number = _find_phone(phone)
    if number is None:
        return None
    region = phonenumbers.region_code_for_number(number)
    if region is None:
        region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    return region if region is not None and region.isalpha() and region != phonenumbers.UNKNOWN_REGION else None


def digest_of_destination(workspace_id: str, channel: Channel, key: str) -> str:
    """Return the SHA-256 digest (hexadecimal) under which a destination can be recognised without being kept."""
    return hashlib.sha256(f"{workspace_id}\0{channel.value}\0{key}".encode()).hexdigest()


@lru_cache(maxsize=8_192)
def _key_of(channel: Channel, destination: str) -> str | None:
    if channel in PHONE_CHANNELS:
        number = _find_phone(destination)
        if number is None:
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if channel is Channel.EMAIL:
        return _email_key(destination)
    return None if not destination.strip() or _CONTROL.search(destination) else destination


@lru_cache(maxsize=8_192)
def _find_phone(text: str) -> phonenumbers.PhoneNumber | None:
    # Whether a number is assigned is not asked: numbering plans change faster than software does, and numbers for
    # films and tests are never assigned. Its length must be one of its country's.
    if len(text) > 64 or not _PHONE_CHARACTERS.fullmatch(text.rstrip()):
        return None
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_possible_number(number) else None


def _email_key(text: str) -> str | None:
    try:
        # `test_environment` only lets the top-level domain .test through, which is made for sandboxes.
        parts = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    local = text.rpartition("@")[0]
    return f"{local}@{(parts.ascii_domain or parts.domain).lower()}"


def _expected(channel: Channel) -> str:
    if channel in PHONE_CHANNELS:
        return (
            "expected a phone number with '+' and country code, such as +919876543210; blanks and punctuation are fine"
        )
    if channel is Channel.EMAIL:
        return "expected an email address, such as ann@example.com, and nothing around it"
    return f"expected a text of 1 to {DESTINATION_MAX_CODE_POINTS:,} characters without control characters"
