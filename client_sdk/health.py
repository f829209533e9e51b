"""How syncing goes, kept in the device's file, so that whoever opens it later can be told why it is behind and since when."""

from typing import Final

import apsw
import msgspec

from client_sdk.errors import RoadbookError, code_of
from sync_protocol.wire.codec import encode

HEALTH_KEY: Final = "sync_health"


class SyncHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Tries that failed, none of which came through since `since_ms`; the last of them ended with `code` and `detail`.

    `next_try_ms` is when the device that follows tries again, None where nobody does by itself. All by the device's clock.
    """

    since_ms: int
    failures: int
    code: str
    detail: str
    last_try_ms: int
    next_try_ms: int | None = None


def current(connection: apsw.Connection) -> SyncHealth | None:
    """What is wrong, or None where the last sync came through."""
    value = connection.execute("SELECT value FROM meta WHERE key = ?", (HEALTH_KEY,)).get
    return msgspec.msgpack.decode(value, type=SyncHealth) if value is not None else None


def note_failure(connection: apsw.Connection, error: RoadbookError, now_ms: int, next_try_ms: int | None) -> SyncHealth:
    """A try failed."""
    before = current(connection)
    health = SyncHealth(
        since_ms=before.since_ms if before is not None else now_ms,
        failures=before.failures + 1 if before is not None else 1,
        code=code_of(error),
        detail=str(error),
        last_try_ms=now_ms,
        next_try_ms=next_try_ms,
    )
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (HEALTH_KEY, encode(health)))
    return health


def note_success(connection: apsw.Connection) -> None:
    """A sync came through."""
    connection.execute("DELETE FROM meta WHERE key = ?", (HEALTH_KEY,))
