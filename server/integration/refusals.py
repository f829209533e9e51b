"""Why a row is set aside: a closed list."""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Each row that is set aside has one of these."""

    MISSING_REFERENCE = "missing_reference"  # it refers to a row that was not accepted
    MALFORMED_VALUE = "malformed_value"  # a value is absent, or is not what its field takes
    DUPLICATE_KEY = "duplicate_key"  # an earlier row has the same key
    OUT_OF_RANGE = "out_of_range"  # a value is understood, but over a limit of its field


class RowRefusedError(Exception):
    """A row cannot be accepted; `detail` names the field and says why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class SetAside(msgspec.Struct, frozen=True):
    """A row that was set aside: where it is, and why; its key, where it has one, and its values by column."""

    file: str
    line: int
    entity: str
    reason: Reason
    detail: str
    key: str | None = None
    values: dict[str, str] = {}
