"""Settings: environment variables (`TRAITBASE_…`), then one TOML file; every fault is reported at once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from traitbase.domain.errors import Fault, InvalidInput

CONFIG_FILE = "traitbase.toml"
"""Name of the settings file, looked for in the data folder."""


class Settings(BaseSettings):
    """What an operator may set. Sizes are in bytes, durations carry their unit in the name."""

    model_config = SettingsConfigDict(env_prefix="TRAITBASE_", extra="forbid", frozen=True)

    data: Path = Field(Path("traitbase-data"), description="the folder that holds everything that is stored")
    host: str = Field("127.0.0.1", description="the address to listen on; 0.0.0.0 for all")
    port: int = Field(8080, ge=0, le=65535, description="the port to listen on; 0 for any free one")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else JSON")
    queue_updates: int = Field(20_000, ge=1, description="updates that may wait to be written; 503 beyond")
    queue_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="bytes of bodies that may wait; 503 beyond")
    receipt_days: float = Field(7, ge=1, le=3650, description="how long receipts are kept; at least the day of replays")
    ignored_days: float = Field(7, ge=0, le=3650, description="how long values that were ignored are kept")
    history_days: float = Field(30, ge=0, le=3650, description="how long the history of profiles is kept; 0: none")
    proxies: str = Field("", description="addresses or networks, with commas, whose X-Forwarded-For is believed")

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
            Fault(f"TRAITBASE_{'.'.join(map(str, each['loc'])).upper()}", f"{each['msg']} (got {each['input']!r})")
            for each in error.errors()
        )
        lines = "\n".join(f"  {fault.path}: {fault.message}" for fault in faults)
        raise InvalidInput(f"these settings cannot be used:\n{lines}", faults=faults, code="bad_settings") from error
    except ValueError as error:  # a TOML file that is none
        raise InvalidInput(f"{CONFIG_FILE} cannot be read: {error}", code="bad_settings") from error
