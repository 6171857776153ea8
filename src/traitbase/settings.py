"""Settings: environment variables (`TRAITBASE_…`), then one TOML file; every fault is reported at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from traitbase.domain.errors import Fault, InvalidInput

CONFIG_FILE = "traitbase.toml"
"""Name of the settings file, looked for in the data folder."""

_BASE_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?")
_SERVED = ("v1", "u", "t", "docs", "openapi.json", "healthz", "readyz", "metrics", "console")


class Role(StrEnum):
    """What a server does."""

    ALL = "all"
    API = "api"
    WORKER = "worker"
    CONSOLE = "console"

    @property
    def answers(self) -> bool:
        """Whether it answers the API's requests."""
        return self in (Role.ALL, Role.API)

    @property
    def shows_console(self) -> bool:
        """Whether it shows the console."""
        return self in (Role.ALL, Role.CONSOLE)

    @property
    def does_chores(self) -> bool:
        """Whether it does what is to be done in the background, one server for all."""
        return self in (Role.ALL, Role.WORKER)


class Settings(BaseSettings):
    """What an operator may set. Sizes are in bytes, durations carry their unit in the name."""

    model_config = SettingsConfigDict(env_prefix="TRAITBASE_", extra="forbid", frozen=True)

    data: Path = Field(Path("traitbase-data"), description="the folder that holds everything that is stored")
    database_url: SecretStr = Field(
        SecretStr(""),
        description="a PostgreSQL database, as postgresql://user:password@host:5432/database; empty: a file in data",
    )
    host: str = Field("127.0.0.1", description="the address to listen on; 0.0.0.0 for all")
    port: int = Field(8080, ge=0, le=65535, description="the port to listen on; 0 for any free one")
    workers: int = Field(
        1, ge=1, le=64, description="processes that share the port; as many as there are cores for them"
    )
    role: Role = Field(
        Role.ALL,
        description="api: answers requests; console: shows the console; worker: does what is to be done in the "
        "background; all: all three",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else JSON")
    queue_updates: int = Field(20_000, ge=1, description="updates that may wait to be written; 503 beyond")
    queue_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="bytes of bodies that may wait; 503 beyond")
    receipt_days: float = Field(7, ge=1, le=3650, description="how long receipts are kept; at least the day of replays")
    ignored_days: float = Field(7, ge=0, le=3650, description="how long values that were ignored are kept")
    history_days: float = Field(30, ge=0, le=3650, description="how long a profile's history is kept; 0: none is")
    cohort_engine: Literal["auto", "copy", "database"] = Field(
        "auto",
        description="what answers about cohorts: a columnar copy, or PostgreSQL itself; auto: the database's own",
    )
    cohort_memory_mb: int = Field(
        1024, ge=128, description="memory that the cohort engine may take; 1,000,000 profiles: 1024"
    )
    cohort_seconds: float = Field(10, gt=0, le=600, description="how long one answer about a cohort may take")
    proxies: str = Field("", description="addresses or networks, with commas, whose X-Forwarded-For is believed")
    public_url: str = Field(
        "", description="under which address people reach this server, for links in messages, such as https://m.example"
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="what encrypts secrets and signs links; empty: the file secret.key in data, which is made",
    )
    webhook_networks: str = Field("", description="private networks (CIDR, with commas) that webhooks may reach")
    lease_seconds: float = Field(
        30, ge=2, le=600, description="after how long a worker that is not heard of is taken for ended"
    )
    base_path: str = Field("", description="where the API is also found, beside /, such as /compat/fyno")

    @field_validator("cohort_engine")
    @classmethod
    def check_cohort_engine(cls, engine: str, info: ValidationInfo) -> str:
        """Return the engine. Raises ValueError for the database's own where the database is a file."""
        url = info.data.get("database_url")
        if engine == "database" and not (url and url.get_secret_value()):
            raise ValueError("database needs a PostgreSQL database: name it in TRAITBASE_DATABASE_URL, or choose copy")
        return engine

    @field_validator("role")
    @classmethod
    def check_role(cls, role: Role, info: ValidationInfo) -> Role:
        """Return the role. Raises ValueError for several processes that would do the same work."""
        if role is Role.WORKER and info.data.get("workers", 1) != 1:
            raise ValueError("a worker is one process: leave workers at 1, or choose all")
        return role

    @field_validator("public_url")
    @classmethod
    def check_public_url(cls, public_url: str) -> str:
        """Return the address without a slash at its end. Raises ValueError for what is none."""
        if public_url and not _PUBLIC_URL.fullmatch(public_url):
            raise ValueError("expected an address such as https://mail.example.com, without a path of one page")
        return public_url.rstrip("/")

    @field_validator("webhook_networks")
    @classmethod
    def check_webhook_networks(cls, networks: str) -> str:
        """Return the networks. Raises ValueError for what is none."""
        for each in filter(None, map(str.strip, networks.split(","))):
            ip_network(each)  # says what is wrong with it
        return networks

    @field_validator("base_path")
    @classmethod
    def check_base_path(cls, base_path: str) -> str:
        """Return the path. Raises ValueError for one that is none, or that would hide what is served anyway."""
        if base_path and (not _BASE_PATH.fullmatch(base_path) or base_path.split("/")[1] in _SERVED):
            expected = "expected a path such as /compat/fyno, without a slash at its end"
            raise ValueError(f"{expected}, and not beginning with one of /{', /'.join(_SERVED)}")
        return base_path

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the signature is the library's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line first, then the environment, then the file in the data folder."""
        data = init_settings().get("data") or env_settings().get("data") or cls.model_fields["data"].default
        file = TomlConfigSettingsSource(settings_cls, Path(data) / CONFIG_FILE)
        return init_settings, env_settings, file


def load_settings(**given: object) -> Settings:
    """Return the settings; what is given (and not None) overrides everything else.

    Raises InvalidInput that names every setting at fault.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # validated by pydantic
    except ValidationError as error:
        faults = tuple(
            Fault(_place_of(".".join(map(str, each["loc"])), given), f"{each['msg']} (got {each['input']!r})")
            for each in error.errors()
        )
        lines = "\n".join(f"  {fault.path}: {fault.message}" for fault in faults)
        raise InvalidInput(f"these settings cannot be used:\n{lines}", faults=faults, code="bad_settings") from error
    except ValueError as error:  # a TOML file that is none
        raise InvalidInput(f"{CONFIG_FILE} cannot be read: {error}", code="bad_settings") from error


def _place_of(name: str, given: Mapping[str, object]) -> str:
    """Return where a setting at fault was set: on the command line, in the environment, or in the file."""
    if given.get(name) is not None:
        return f"--{name}"
    variable = f"TRAITBASE_{name.upper()}"
    if variable in {each.upper() for each in os.environ}:
        return variable
    data = given.get("data") or os.environ.get("TRAITBASE_DATA") or Settings.model_fields["data"].default
    return f"{name} in {Path(str(data)) / CONFIG_FILE}"
