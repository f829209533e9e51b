"""Instants as people and other systems read them: ISO 8601 in UTC, to the millisecond."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(instant_ms: int) -> str:
    """Milliseconds since 1970 as `2026-11-22T04:33:30.000Z`."""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(instant_ms: int | None) -> str | None:
    return None if instant_ms is None else iso(instant_ms)


def milliseconds(moment: datetime) -> int:
    """An instant that says its offset from UTC, as milliseconds since 1970."""
    assert moment.tzinfo is not None
    return (moment - _EPOCH) // timedelta(milliseconds=1)
