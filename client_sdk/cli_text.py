"""How the command line writes instants, counts and codes."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant_text(instant_ms: int | None) -> str:
    """An instant as the clock on the wall here shows it."""
    if not instant_ms:
        return "never"
    return (_EPOCH + timedelta(milliseconds=instant_ms)).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def skew_text(skew_ms: int) -> str:
    """How far a clock is off: `3 days ahead of`, `12 minutes behind`."""
    minutes = round(abs(skew_ms) / 60_000)
    size = next((each for each in ((1_440, "day"), (60, "hour")) if minutes >= 2 * each[0]), (1, "minute"))
    return f"{counted(minutes // size[0], size[1])} {'ahead of' if skew_ms > 0 else 'behind'}"


def words(code: str) -> str:
    """A code as words: `accepted_with_changes` is «accepted with changes»."""
    return code.replace("_", " ")


def counted(count: int, singular: str, plural: str = "") -> str:
    """`1 order`, `2 orders`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def joined(parts: Iterable[str]) -> str:
    """What there is of the parts, set apart by a dot."""
    return " · ".join(part for part in parts if part)
