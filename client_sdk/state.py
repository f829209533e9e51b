"""What the device knows of itself and of how far it has come: one value a key, each read and written whole."""

from collections.abc import Collection
from typing import Final, TypeVar
from uuid import UUID

import apsw
import msgspec

from client_sdk.errors import NotEnrolledError
from sync_protocol.entities.orders import Channel
from sync_protocol.wire.codec import encode
from sync_protocol.wire.messages import PLACES_MAX, ImageOffer, LogPlace, PullPosition

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


def channel_of(identity: Identity | None) -> Channel:
    """Through which channel this device orders: its rep's, or its buyer's."""
    return Channel.REP if identity is not None and identity.rep_id is not None else Channel.BUYER


class Incarnation(msgspec.Struct, frozen=True):
    """What tells this device from its copies. `following` is stored before it is sent, so that a lost reply can be asked again."""

    present: bytes
    following: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the replica equals: the log `epoch` at `cursor`.

    `as_of_ms` is server time, `clock_skew_ms` how far ahead of it this device's clock was. `known` is `cursor` with what tells
    its commit from another in its place.
    """

    epoch: UUID | None = None
    cursor: int = 0
    as_of_ms: int = 0
    clock_skew_ms: int | None = None
    known: LogPlace | None = None


class ScopeHeld(msgspec.Struct, frozen=True):
    """The buckets that the replica holds, and their digest as the server makes it."""

    digest: bytes
    buckets: tuple[str, ...]


class ScopeDigest(msgspec.Struct, frozen=True):
    """Of a `ScopeHeld` its digest alone, read without the thousands of names that a scope may have."""

    digest: bytes


class Doubted(msgspec.Struct, frozen=True):
    """Buckets that a restored server did not give this device though it created their customers, with the rows and the checksum
    that they had: its creations are offered again, and may bring them back.
    """

    held: dict[str, tuple[int, int]]


class Untold(msgspec.Struct, frozen=True, kw_only=True):
    """What befell the server and this device, and no report of a sync has said yet: a kill, or a lost network, may come first."""

    is_restored: bool = False
    offered_again: int = 0
    new_number_prefix: str = ""


class ReplicaFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the numbered replica files is shown, which is being built, and the last number that was given away.

    `damage` says what is wrong with the one that is shown, or was with one whose place it took empty: it is fetched anew.
    `is_overlay_lost` says that what waits cannot be laid on it any more.
    """

    shown: int
    building: int | None = None
    last: int
    damage: str = ""
    is_overlay_lost: bool = False


class DecidedIn(msgspec.Struct, frozen=True):
    """The log in which the journal's verdicts were given, and places in it: none of the verdicts is later than the last of them.

    The replica, which may be of no log yet, cannot tell. There is more than one where a reply came to a request that did not
    name all of them.
    """

    epoch: UUID
    places: tuple[LogPlace, ...] = ()


class Staging(msgspec.Struct, frozen=True, kw_only=True):
    """A pull under way: what is staged towards the next checkpoint, and where to go on after a kill.

    `afresh` says that it builds a file that will replace the replica instead of being laid over it; `is_finished` that this
    file has its indexes by now. `gained` are the buckets that this pass brings from their beginning, `gained_later` those
    that the next one must, because they came into the scope while this one was under way; `lost` are those that went out of
    it at any time. `known` is the place that the last page told of.
    """

    epoch: UUID | None
    cursor: int
    afresh: bool
    digest: bytes | None
    is_finished: bool = False
    gained: tuple[str, ...] = ()
    gained_later: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    position: PullPosition | None = None
    rows: int = 0
    rows_expected: int = 0
    known: LogPlace | None = None


class ImageDownload(msgspec.Struct, frozen=True, kw_only=True):
    """The image that the replica under construction begins with, while it comes and until that is shown.

    `refused` are the digests of images that something was wrong with. `fruitless_tries` were in a row, and brought nothing.
    """

    offer: ImageOffer | None = None
    image_format: bytes = b""
    refused: tuple[bytes, ...] = ()
    fruitless_tries: int = 0


class ScrubPosition(msgspec.Struct, frozen=True):
    """Where rows are computed anew next: behind this one of this entity."""

    entity: str
    rowid: int


class Suspects(msgspec.Struct, frozen=True):
    """What may not be as the server has it: buckets whose sums differ, and kinds of bucket in which a row is not as it came."""

    buckets: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.buckets or self.kinds)


class Beyond(msgspec.Struct, frozen=True):
    """What came of a newer server: entities that this app does not know, and those of which it does not know all fields."""

    unknown: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()


_DURABLE_KEYS: Final[dict[type[msgspec.Struct], str]] = {
    Identity: "identity",
    Incarnation: "incarnation",
    ReplicaFiles: "replica_files",
    ImageDownload: "image",
    DecidedIn: "decided_in",
    Doubted: "doubted",
    Untold: "untold",
}
_REPLICA_KEYS: Final[dict[type[msgspec.Struct], str]] = {
    Checkpoint: "checkpoint",
    ScopeHeld: "scope",
    ScopeDigest: "scope",
    Staging: "staging",
    ScrubPosition: "scrub",
    Suspects: "suspects",
    Beyond: "beyond",
}
_OVERLAY_KEY: Final = "overlay"
_ROWS_KEY: Final = "rows"
_CAUSE_CHARACTERS_MAX: Final = 200
STAGED_SCOPE: Final = "staged_scope"
STAGING_KEYS: Final = (_REPLICA_KEYS[Staging], STAGED_SCOPE)


def _place(kind: type[msgspec.Struct]) -> tuple[str, str]:
    """The table and the key of a kind of value: what must never be lost is in the device's own file, the rest in the replica's."""
    return ("meta", _DURABLE_KEYS[kind]) if kind in _DURABLE_KEYS else ("replica_state", _REPLICA_KEYS[kind])


def load(connection: apsw.Connection, kind: type[T], key: str | None = None) -> T | None:
    """The stored value of this kind, or None. Raises ValueError where the file is damaged."""
    table, usual = _place(kind)
    value = connection.execute(f"SELECT value FROM {table} WHERE key = ?", (key or usual,)).get  # noqa: S608  # one of two names
    if value is not None and not isinstance(value, bytes):
        raise msgspec.DecodeError(f"{usual} is not what was stored")
    return msgspec.msgpack.decode(value, type=kind) if value is not None else None


def save(connection: apsw.Connection, value: msgspec.Struct, key: str | None = None) -> None:
    """Store a value of its kind."""
    table, usual = _place(type(value))
    connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (key or usual, encode(value)))  # noqa: S608  # one of two names


def forget(connection: apsw.Connection, kind: type[msgspec.Struct]) -> None:
    """Store no value of this kind."""
    table, key = _place(kind)
    connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))  # noqa: S608  # one of two names


def forget_staging(connection: apsw.Connection) -> None:
    """Forget how far a pull has come."""
    connection.executemany("DELETE FROM replica_state WHERE key = ?", ((key,) for key in STAGING_KEYS))


def forget_image(connection: apsw.Connection) -> None:
    """Forget which image was taken, and which were refused."""
    connection.execute("DELETE FROM meta WHERE key = ?", (_DURABLE_KEYS[ImageDownload],))


def forget_log(connection: apsw.Connection) -> None:
    """The journal's verdicts are of no log any more: they are asked for again."""
    connection.execute("DELETE FROM meta WHERE key = ?", (_DURABLE_KEYS[DecidedIn],))


def decided_places(connection: apsw.Connection) -> tuple[LogPlace, ...]:
    """Places of the log that the journal's verdicts are of."""
    decided_in = load(connection, DecidedIn)
    return decided_in.places if decided_in is not None else ()


def log_known(connection: apsw.Connection) -> tuple[UUID | None, tuple[LogPlace, ...]]:
    """The log that this device knows, its replica's or, where there is none, that of its verdicts; and places in it."""
    at, decided_in = checkpoint(connection), load(connection, DecidedIn)
    epoch = at.epoch or (decided_in.epoch if decided_in is not None else None)
    return epoch, known_in(epoch, at.known, *decided_places(connection))


def known_in(epoch: UUID | None, *places: LogPlace | None) -> tuple[LogPlace, ...]:
    """Those of the places that are in a log, each once; of no log, all."""
    return tuple(dict.fromkeys(place for place in places if place is not None and epoch in {None, place.epoch}))


def note_decided(connection: apsw.Connection, epoch: UUID, head: LogPlace | None, named: Collection[LogPlace]) -> None:
    """Verdicts have come by a reply whose request named places: its head takes the place of those, for they were before it."""
    places = (*(place for place in decided_places(connection) if place not in named or head is None), head)
    save(connection, DecidedIn(epoch, known_in(epoch, *places)[-PLACES_MAX + 1 :]))


def untold(connection: apsw.Connection) -> Untold:
    """What the next report says besides what its own sync did."""
    return load(connection, Untold) or Untold()


def note_change(connection: apsw.Connection) -> None:
    """What waits has changed, and the overlay must follow: the replica's file, which has it, is committed after this one."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, randomblob(16))", (_OVERLAY_KEY,))


def last_change(connection: apsw.Connection) -> bytes | None:
    """A token of the last change of what waits; no two changes have the same."""
    token: bytes | None = connection.execute("SELECT value FROM meta WHERE key = ?", (_OVERLAY_KEY,)).get
    return token


def note_laid(connection: apsw.Connection) -> None:
    """The overlay shows what waits."""
    connection.execute("INSERT OR REPLACE INTO replica_state SELECT key, value FROM meta WHERE key = ?", (_OVERLAY_KEY,))


def is_laid(connection: apsw.Connection) -> bool:
    """Whether the overlay shows what waits: both files say the same change. One that is lost is as good as it will be."""
    same = "(SELECT value FROM meta WHERE key = ?) IS (SELECT value FROM replica_state WHERE key = ?)"
    return bool(connection.execute(f"SELECT {same}", (_OVERLAY_KEY, _OVERLAY_KEY)).get) or is_overlay_lost(connection)


def note_rows(connection: apsw.Connection) -> None:
    """Rows of the replica or of the overlay have changed, or may have."""
    connection.execute("INSERT OR REPLACE INTO replica_state VALUES (?, randomblob(16))", (_ROWS_KEY,))


def rows_token(connection: apsw.Connection) -> bytes | None:
    """A token of what the replica and the overlay hold: where it is the same, they are. None where nothing was laid yet."""
    token: bytes | None = connection.execute("SELECT value FROM replica_state WHERE key = ?", (_ROWS_KEY,)).get
    return token


def note_damage(connection: apsw.Connection, cause: str) -> None:
    """The replica that is shown is damaged: the next sync fetches it anew."""
    files = load(connection, ReplicaFiles)
    if files is not None and not files.damage:
        save(connection, msgspec.structs.replace(files, damage=cause[:_CAUSE_CHARACTERS_MAX] or "damaged"))


def lose_overlay(connection: apsw.Connection) -> None:
    """What waits is saved all the same, though it cannot be laid on this replica: the next one shows it."""
    files = load(connection, ReplicaFiles)
    assert files is not None, "a replica is shown"
    save(connection, msgspec.structs.replace(files, is_overlay_lost=True))


def is_overlay_lost(connection: apsw.Connection) -> bool:
    """Whether what waits cannot be laid on the replica that is shown."""
    files = load(connection, ReplicaFiles)
    return files is not None and files.is_overlay_lost


def undecodable(connection: apsw.Connection, table: str) -> bool:
    """Whether one of the values in `meta` or `replica_state` cannot be read."""
    for kind in _DURABLE_KEYS if table == "meta" else _REPLICA_KEYS:
        try:
            load(connection, kind)
        except ValueError:
            return True
    return False


def require_identity(connection: apsw.Connection) -> Identity:
    """The identity. Raises NotEnrolledError."""
    identity = load(connection, Identity)
    if identity is None:
        raise NotEnrolledError
    return identity


def checkpoint(connection: apsw.Connection) -> Checkpoint:
    """The checkpoint that the replica equals; position 0 of no log where nothing was pulled yet."""
    return load(connection, Checkpoint) or Checkpoint()
