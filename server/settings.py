"""The configuration: one frozen struct, read from `ROADBOOK_…` variables, complete with none of them set."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from msgspec.inspect import type_info
from msgspec.structs import FieldInfo

PREFIX = "ROADBOOK_"


DATABASE_URLS: Final = "sqlite:///path or postgresql://user:password@host:port/name"
_IMAGES_URL: Final = r"^(?:s3://[A-Za-z0-9._-]+(?:/.*)?|(?![A-Za-z][A-Za-z0-9+.-]+:).*)\Z"
"""What begins like an address is never meant for a folder: it would be made, in the working folder."""
_USER: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)
"""What an address says before its host: who asks, and with what password."""


class InvalidSettingError(ValueError):
    """A variable that cannot be understood, what is wrong with it, and what it takes."""

    def __init__(self, variable: str, fault: str, takes: str) -> None:
        super().__init__(f"{variable} {fault}; it takes {takes}")
        self.variable = variable
        self.fault = fault
        self.takes = takes


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be configured. docs/OPERATIONS.md explains each.

    A description says what a text may be. Durations are in the unit that their name ends in.
    """

    database_url: Annotated[str, Meta(description=DATABASE_URLS)] = "sqlite:///roadbook.db"
    host: Annotated[str, Meta(min_length=1, description="a host name or an address, such as 127.0.0.1")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 8321
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    jobs: bool = True
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 90
    price_history_days: Annotated[int, Meta(ge=1, le=3650)] = 35
    session_hours: Annotated[int, Meta(ge=1, le=8760)] = 12
    enrolment_minutes: Annotated[int, Meta(ge=1, le=10080)] = 60 * 24
    pool_size: Annotated[int, Meta(ge=1, le=200)] = 10
    images_url: Annotated[
        str, Meta(pattern=_IMAGES_URL, description="a folder whose name is no address, or s3://bucket/prefix")
    ] = ""
    images_max: Annotated[int, Meta(ge=0, le=1_000)] = 20
    images_rows_min: Annotated[int, Meta(ge=1)] = 10_000


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{field.upper()}"


def settings_from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process. Raises InvalidSettingError."""
    given = {field.name: field for field in msgspec.structs.fields(Settings) if variable_of(field.name) in environment}
    return Settings(**{name: _read(field, environment[variable_of(name)]) for name, field in given.items()})


def _read(field: FieldInfo, text: str) -> Any:
    try:
        return msgspec.convert(text.strip(), field.type, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettingError(variable_of(field.name), f"is {_shown(text)!r}", _takes(type_info(field.type))) from error


def _shown(text: str) -> str:
    """What was given, without what may be a key: an address may have one before its host and in its query."""
    named = _USER.sub(lambda found: f"{found['scheme'] or ''}…@", text, count=1)
    address, mark, _query = named.partition("?")
    return f"{address}?…" if mark else address


def _takes(kind: msgspec.inspect.Type) -> str:
    """What a setting of this type may be, in words."""
    if isinstance(kind, msgspec.inspect.Metadata):
        return str((kind.extra_json_schema or {})["description"])
    if isinstance(kind, msgspec.inspect.IntType):
        return f"a whole number from {kind.ge}" + (f" to {kind.le}" if kind.le is not None else "")
    assert isinstance(kind, msgspec.inspect.BoolType), "a text says in its description what it may be"
    return "true or false"


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that give another process of ours these settings."""
    return {variable_of(name): str(value) for name, value in msgspec.structs.asdict(settings).items()}
