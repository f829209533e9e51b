"""Every message of the protocol, version 1. docs/PROTOCOL.md says what each means and when it is sent."""

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from sync_protocol.values import CommitSeq, EnteredCode, EnteredName, Instant, Skew, TimeZone

PAGE_ROWS_MAX: Final = 50_000
BATCH_INTENTS_MAX: Final = 100
BUCKETS_MAX: Final = 100_000
INTENT_BYTES_MAX: Final = 512 * 1024

Digest = Annotated[bytes, Meta(min_length=16, max_length=16)]
Token = Annotated[bytes, Meta(min_length=16, max_length=16)]
BucketName = Annotated[str, Meta(max_length=80, pattern=r"^[a-z]+(:[0-9a-f]{32})?$")]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message. Readers ignore fields that they do not know; new fields have a default."""


class PullPosition(Message, frozen=True, kw_only=True):
    """Where a walk over the log stands: the pass covers (pass_from, pass_to], and everything up to here was sent."""

    pass_from: CommitSeq
    pass_to: CommitSeq
    stage: Annotated[int, Meta(ge=0, le=100_000)]
    change: CommitSeq
    row_id: UUID


class PullRequest(Message, frozen=True, kw_only=True):
    """Ask for the next page. `scope_digest` says which buckets the device holds or stages, `gained` which of them it
    holds nothing of below `cursor`. `position` is given back from the last page of an unfinished pass.
    """

    protocol_version: int
    device_id: UUID
    incarnation: Token
    epoch: UUID | None = None
    cursor: CommitSeq = 0
    scope_digest: Digest | None = None
    gained: Annotated[tuple[BucketName, ...], Meta(max_length=BUCKETS_MAX)] = ()
    position: PullPosition | None = None
    page_rows: Annotated[int, Meta(ge=1, le=PAGE_ROWS_MAX)] = PAGE_ROWS_MAX


class ResyncReason(StrEnum):
    """Why a replica must be rebuilt; its outbox is kept."""

    EPOCH_CHANGED = "epoch_changed"
    CURSOR_AHEAD = "cursor_ahead"
    BELOW_RETENTION = "below_retention"


class PageHeader(Message, frozen=True, kw_only=True, tag="header"):
    """Opens a page: whose it is, of which log, and what a progress bar may count towards.

    `rows_expected` is an estimate of the rows of the whole pass, 0 where it is not known. Where `resync` is set the
    page is empty and the device starts anew.
    """

    protocol_version: int
    audience: UUID
    epoch: UUID
    rows_expected: int = 0
    resync: ResyncReason | None = None


class ScopeChunk(Message, frozen=True, kw_only=True, tag="scope"):
    """The whole scope, sent instead of rows whenever the device's digest is not the scope's."""

    digest: Digest
    buckets: Annotated[tuple[BucketName, ...], Meta(max_length=BUCKETS_MAX)]


class RowChunk(Message, frozen=True, kw_only=True, tag="rows"):
    """Rows of one entity: arrays of `columns`, the first of which is `commit_seq`, the version of the row."""

    entity: str
    columns: tuple[str, ...]
    rows: msgspec.Raw


class GoneChunk(Message, frozen=True, kw_only=True, tag="gone"):
    """Rows of one entity that were deleted or left a bucket: pairs of `commit_seq` and id. Older versions go."""

    entity: str
    rows: tuple[tuple[CommitSeq, bytes], ...]


class PageTrailer(Message, frozen=True, kw_only=True, tag="trailer"):
    """Closes a page; without it, or where it does not fit, the page does not exist.

    `rows` counts the rows of all chunks, `digest` is BLAKE2b-128 of every frame before this one. `position` is where
    the pass goes on, None at its end. `complete` says that this is a checkpoint: the replica may move to `cursor`.
    """

    audience: UUID
    epoch: UUID
    rows: int
    digest: Digest
    cursor: CommitSeq
    complete: bool
    server_time_ms: Instant
    position: PullPosition | None = None


PageMessage = PageHeader | ScopeChunk | RowChunk | GoneChunk | PageTrailer


class IntentEnvelope(Message, frozen=True, kw_only=True):
    """An intent as it is kept in the outbox and sent: `body` is the canonical bytes, `digest` their BLAKE2b-128.

    `lanes` are the aggregates that it touches, for a server that cannot read the body and must know what depends on it.
    """

    id: UUID
    kind: EnteredCode
    schema_version: Annotated[int, Meta(ge=1, le=1_000)]
    body: Annotated[bytes, Meta(max_length=INTENT_BYTES_MAX)]
    digest: Digest
    captured_at_ms: Instant
    time_zone: TimeZone
    clock_skew_ms: Skew | None
    decided_at_cursor: CommitSeq
    rules_version: Annotated[int, Meta(ge=1, le=1_000_000)]
    lanes: Annotated[tuple[UUID, ...], Meta(max_length=16)] = ()


class PushRequest(Message, frozen=True, kw_only=True):
    """Up to 100 intents in the order in which they were made. `next_incarnation` replaces `incarnation` by this push."""

    protocol_version: int
    device_id: UUID
    incarnation: Token
    next_incarnation: Token
    epoch: UUID | None
    intents: Annotated[tuple[IntentEnvelope, ...], Meta(max_length=BATCH_INTENTS_MAX)]


class PushStatus(StrEnum):
    """What became of one envelope: a verdict, not yet decided, or the same id with other bytes."""

    DECIDED = "decided"
    DEFERRED = "deferred"
    CONFLICT = "conflict"


class PushResult(Message, frozen=True, kw_only=True):
    """The answer to one envelope: the verdict's stored bytes, the same whenever asked, and the commit that holds the effect."""

    intent_id: UUID
    status: PushStatus
    verdict: bytes = b""
    commit_seq: CommitSeq = 0
    detail: str = ""


class PushReply(Message, frozen=True, kw_only=True):
    """One result for each envelope, in the same order."""

    audience: UUID
    epoch: UUID
    results: tuple[PushResult, ...]
    server_time_ms: Instant


class EnrolRequest(Message, frozen=True, kw_only=True):
    """Exchange a single-use code for a device of one's own."""

    protocol_version: int
    code: EnteredCode
    device_name: EnteredName


class ForkRequest(Message, frozen=True, kw_only=True):
    """Become a new device, after `device_forked`: the outbox is kept, the number series is a new one.

    `incarnation` is the one that was refused; the holder of the present one is no copy.
    """

    protocol_version: int
    device_id: UUID
    incarnation: Token
    device_name: EnteredName


class Enrolment(Message, frozen=True, kw_only=True):
    """A device's identity: the token authenticates, the incarnation tells it from its copies, the prefix numbers."""

    device_id: UUID
    token: str
    incarnation: Token
    user_id: UUID
    user_name: str
    role: str
    number_prefix: str
    rep_id: UUID | None = None
    customer_id: UUID | None = None


MESSAGES: Final[tuple[type[Message], ...]] = (
    PullRequest,
    PageHeader,
    ScopeChunk,
    RowChunk,
    GoneChunk,
    PageTrailer,
    PushRequest,
    PushReply,
    EnrolRequest,
    ForkRequest,
    Enrolment,
)
