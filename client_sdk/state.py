"""What the device knows of itself and of how far it has come: one value a key, each read and written whole."""

from typing import Final, TypeVar
from uuid import UUID

import apsw
import msgspec

from client_sdk.errors import NotEnrolledError
from sync_protocol.wire.codec import encode
from sync_protocol.wire.messages import PullPosition

T = TypeVar("T", bound=msgspec.Struct)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose device this is. `token` authenticates it; `number_prefix` is its own for ever.

    `wipe_lock` is the digest of the key by which the server may have it erased; None where it was given none.
    """

    server_url: str
    device_id: UUID
    device_name: str
    token: str
    user_id: UUID
    user_name: str
    role: str
    number_prefix: str
    rep_id: UUID | None = None
    customer_id: UUID | None = None
    wipe_lock: bytes | None = None


class Incarnation(msgspec.Struct, frozen=True):
    """What tells this device from its copies. `following` is stored before it is sent, so that a lost reply can be asked again."""

    present: bytes
    following: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the replica equals: the log `epoch` at `cursor`.

    `as_of_ms` is server time, `clock_skew_ms` how far ahead of it this device's clock was.
    """

    epoch: UUID | None = None
    cursor: int = 0
    as_of_ms: int = 0
    clock_skew_ms: int | None = None


class ScopeHeld(msgspec.Struct, frozen=True):
    """The buckets that the replica holds, and their digest as the server makes it."""

    digest: bytes
    buckets: tuple[str, ...]


class Staging(msgspec.Struct, frozen=True, kw_only=True):
    """A pull under way: what is staged towards the next checkpoint, and where to go on after a kill.

    `afresh` says that the staged tables will replace the replica's instead of being laid over them. `gained` are the
    buckets that this pass brings from their beginning, `gained_later` those that the next one must, because they came
    into the scope while this one was under way; `lost` are those that went out of it at any time.
    """

    epoch: UUID | None
    cursor: int
    afresh: bool
    digest: bytes | None
    gained: tuple[str, ...] = ()
    gained_later: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    position: PullPosition | None = None
    rows: int = 0
    rows_expected: int = 0


_KEYS: Final[dict[type[msgspec.Struct], str]] = {
    Identity: "identity",
    Incarnation: "incarnation",
    Checkpoint: "checkpoint",
    ScopeHeld: "scope",
    Staging: "staging",
}
STAGED_SCOPE: Final = "staged_scope"
STAGING_KEYS: Final = (_KEYS[Staging], STAGED_SCOPE)
REPLICA_KEYS: Final = (_KEYS[Checkpoint], _KEYS[ScopeHeld], *STAGING_KEYS)


def load(connection: apsw.Connection, kind: type[T], key: str | None = None) -> T | None:
    """The stored value of this kind, or None."""
    value = connection.execute("SELECT value FROM meta WHERE key = ?", (key or _KEYS[kind],)).get
    return msgspec.msgpack.decode(value, type=kind) if value is not None else None


def save(connection: apsw.Connection, value: msgspec.Struct, key: str | None = None) -> None:
    """Store a value of its kind."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key or _KEYS[type(value)], encode(value)))


def forget(connection: apsw.Connection, *keys: str) -> None:
    """Forget values by key."""
    connection.executemany("DELETE FROM meta WHERE key = ?", ((key,) for key in keys))


def require_identity(connection: apsw.Connection) -> Identity:
    """The identity. Raises NotEnrolledError."""
    identity = load(connection, Identity)
    if identity is None:
        raise NotEnrolledError
    return identity


def checkpoint(connection: apsw.Connection) -> Checkpoint:
    """The checkpoint that the replica equals; position 0 of no log where nothing was pulled yet."""
    return load(connection, Checkpoint) or Checkpoint()
