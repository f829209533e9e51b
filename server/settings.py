"""The configuration: one frozen struct, read from `ROADBOOK_…` variables, complete with none of them set."""

import os
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

PREFIX = "ROADBOOK_"


class InvalidSettingError(ValueError):
    """A variable that cannot be understood; the message names it and says what it takes."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be configured. docs/OPERATIONS.md explains each.

    `database_url` is `sqlite:///path` or `postgresql://user:password@host:port/name`. Durations are in the unit that
    their name ends in.
    """

    database_url: str = "sqlite:///roadbook.db"
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 8321
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    jobs: bool = True
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 90
    session_hours: Annotated[int, Meta(ge=1, le=8760)] = 12
    enrolment_minutes: Annotated[int, Meta(ge=1, le=10080)] = 60 * 24
    pool_size: Annotated[int, Meta(ge=1, le=200)] = 10
    images_url: str = ""
    images_max: Annotated[int, Meta(ge=0, le=1_000)] = 20
    images_rows_min: Annotated[int, Meta(ge=1)] = 10_000


def settings_from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process. Raises InvalidSettingError."""
    known = {f"{PREFIX}{name.upper()}": name for name in Settings.__struct_fields__}
    given = {field: environment[variable] for variable, field in known.items() if variable in environment}
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettingError(f"the environment is not valid: {error} (variables are {', '.join(sorted(known))})") from error


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that give another process of ours these settings."""
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in msgspec.structs.asdict(settings).items()}
