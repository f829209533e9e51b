"""Every message of the protocol, version 3. docs/PROTOCOL.md says what each means and when it is sent."""

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from sync_protocol.values import INT64_MAX, CommitSeq, EnteredCode, EnteredName, EnteredNote, Instant, Skew, TimeZone

PAGE_ROWS_MAX: Final = 50_000
BATCH_INTENTS_MAX: Final = 100
BUCKETS_MAX: Final = 100_000
INTENT_BYTES_MAX: Final = 1024 * 1024
REPAIR_RANGES_MAX: Final = 64
RECEIPTS_MAX: Final = 1_000
PLACES_MAX: Final = 16

Digest = Annotated[bytes, Meta(min_length=16, max_length=16)]
ImageDigest = Annotated[bytes, Meta(min_length=32, max_length=32, description="BLAKE2b-256 of the compressed file")]
Checksum = Annotated[int, Meta(ge=0, le=INT64_MAX, description="sum of the checksums of rows, each of 40 bits")]
Count = Annotated[int, Meta(ge=0, le=INT64_MAX)]
RangeNumber = Annotated[int, Meta(ge=0, le=255, description="which part of a bucket, by the last byte of the row id")]
Token = Annotated[bytes, Meta(min_length=16, max_length=16)]
BucketName = Annotated[str, Meta(max_length=80, pattern=r"^[a-z]+(:[0-9a-f]{32})?$")]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message. Readers ignore fields that they do not know; new fields have a default."""


class LogPlace(Message, frozen=True, kw_only=True):
    """A place in a log. The time tells its commit from one that took its place after a server was restored by hand."""

    epoch: UUID
    commit_seq: CommitSeq
    committed_at_ms: Instant


class PullPosition(Message, frozen=True, kw_only=True):
    """Where a walk over the log stands: the pass covers (pass_from, pass_to], and everything up to here was sent."""

    pass_from: CommitSeq
    pass_to: CommitSeq
    stage: Annotated[int, Meta(ge=0, le=100_000)]
    change: CommitSeq
    row_id: UUID


class PullRequest(Message, frozen=True, kw_only=True):
    """Ask for the next page. `scope_digest` says which buckets the device holds or stages, `gained` which of them it
    holds nothing of below `cursor`. `position` is given back from the last page of an unfinished pass. `known` are places
    that the device was told of, by pages, by replies to pushes and by images: all are to be in the server's past.
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
    known: Annotated[tuple[LogPlace, ...], Meta(max_length=PLACES_MAX)] = ()


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


class BucketCheck(Message, frozen=True, kw_only=True):
    """What a bucket holds at a checkpoint: how many rows, and the sum of their checksums."""

    bucket: BucketName
    rows: Count
    checksum: Checksum


class PageTrailer(Message, frozen=True, kw_only=True, tag="trailer"):
    """Closes a page; without it, or where it does not fit, the page does not exist.

    `rows` counts the rows of all chunks, `digest` is BLAKE2b-128 of every frame before this one. `position` is where
    the pass goes on, None at its end. `complete` says that this is a checkpoint: the replica may move to `cursor`.
    `checks` are of the buckets that the pass touched, where it is complete. `proof_id` asks the device to prove that it
    equals the server. `ranges_answered` is for a repair: how many of the ranges are on the page, where they are not all.
    `head` is the last commit of the snapshot that was read; None where the log is empty, or has forgotten it.
    """

    audience: UUID
    epoch: UUID
    rows: int
    digest: Digest
    cursor: CommitSeq
    complete: bool
    server_time_ms: Instant
    position: PullPosition | None = None
    checks: Annotated[tuple[BucketCheck, ...], Meta(max_length=BUCKETS_MAX)] = ()
    proof_id: UUID | None = None
    ranges_answered: Annotated[int, Meta(ge=1, le=REPAIR_RANGES_MAX)] | None = None
    head: LogPlace | None = None


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
    """Up to 100 intents in the order in which they were made. `next_incarnation` replaces `incarnation`; `known` as to pull."""

    protocol_version: int
    device_id: UUID
    incarnation: Token
    next_incarnation: Token
    epoch: UUID | None
    intents: Annotated[tuple[IntentEnvelope, ...], Meta(max_length=BATCH_INTENTS_MAX)]
    known: Annotated[tuple[LogPlace, ...], Meta(max_length=PLACES_MAX)] = ()


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
    """One result for each envelope, in the same order. `head` is the last commit of the log, with the effects in it."""

    audience: UUID
    epoch: UUID
    results: tuple[PushResult, ...]
    server_time_ms: Instant
    head: LogPlace | None = None


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
    """A device's identity: the token authenticates, the incarnation tells it from its copies, the prefix numbers.

    `wipe_lock` is the digest of a key that only the server has: who shows the key may have the device wiped.
    """

    device_id: UUID
    token: str
    incarnation: Token
    user_id: UUID
    user_name: str
    role: str
    number_prefix: str
    rep_id: UUID | None = None
    customer_id: UUID | None = None
    wipe_lock: Digest | None = None


class RangesRequest(Message, frozen=True, kw_only=True):
    """Ask what buckets hold, range by range. `recount` reads the authoritative rows instead of the sums kept of them."""

    protocol_version: int
    device_id: UUID
    incarnation: Token
    epoch: UUID
    buckets: Annotated[tuple[BucketName, ...], Meta(max_length=BUCKETS_MAX)]
    recount: bool = False


class RangeCheck(Message, frozen=True, kw_only=True):
    """What one range of a bucket holds; a range without rows is left out."""

    bucket: BucketName
    range: RangeNumber
    rows: Count
    checksum: Checksum


class RangesReply(Message, frozen=True, kw_only=True):
    """What the buckets held at `cursor`, the head of the snapshot that was read; those outside the scope are left out."""

    audience: UUID
    epoch: UUID
    cursor: CommitSeq
    ranges: tuple[RangeCheck, ...]


class BucketRange(Message, frozen=True, kw_only=True):
    """One range of a bucket."""

    bucket: BucketName
    range: RangeNumber


class RepairRequest(Message, frozen=True, kw_only=True):
    """Ask for all rows of some ranges, as a page. Its trailer's cursor must be the device's own, or nothing of it is used."""

    protocol_version: int
    device_id: UUID
    incarnation: Token
    epoch: UUID
    ranges: Annotated[tuple[BucketRange, ...], Meta(min_length=1, max_length=REPAIR_RANGES_MAX)]


class ImageRequest(Message, frozen=True, kw_only=True):
    """Ask for a prebuilt image of shared buckets. `image_format` is the digest of the tables that the device uses."""

    protocol_version: int
    device_id: UUID
    incarnation: Token
    image_format: Digest


class ImageOffer(Message, frozen=True, kw_only=True):
    """An image: a compressed database file that holds `buckets` as they were at `commit_seq` of the log `epoch`.

    Sizes are bytes, compressed and not. `place` tells that commit from another in its place; None where that is forgotten.
    """

    digest: ImageDigest
    size: Count
    raw_size: Count
    rows: Count
    epoch: UUID
    commit_seq: CommitSeq
    buckets: Annotated[tuple[BucketName, ...], Meta(max_length=BUCKETS_MAX)]
    place: LogPlace | None = None


class ImageReply(Message, frozen=True, kw_only=True):
    """The largest image that lies wholly in the device's scope, or none: then all comes as rows."""

    audience: UUID
    epoch: UUID
    image: ImageOffer | None = None


class PurgeReceipt(Message, frozen=True, kw_only=True):
    """A device erased a bucket that went out of its scope: how many rows, the sum of their checksums, when by its clock."""

    id: UUID
    bucket: BucketName
    rows: Count
    checksum: Checksum
    purged_at_cursor: CommitSeq
    purged_at_ms: Instant


class Proof(Message, frozen=True, kw_only=True):
    """What a device found when it compared all it holds with the server at `cursor`. `proof_id` is the one that was asked."""

    proof_id: UUID
    cursor: CommitSeq
    is_equal: bool
    rows: Count
    buckets: Count
    differing_ranges: Count = 0
    repaired_ranges: Count = 0


class StallReport(Message, frozen=True, kw_only=True):
    """What keeps a device from syncing: a code of its own, a sentence, and since when by its clock."""

    code: EnteredCode
    detail: EnteredNote
    since_ms: Instant


class DeviceReport(Message, frozen=True, kw_only=True):
    """How a device is, told after a sync: what waits on it, what it erased, what it proved, and what is in its way."""

    protocol_version: int
    device_id: UUID
    incarnation: Token
    epoch: UUID | None
    cursor: CommitSeq
    outbox_count: Count = 0
    oldest_unsent_ms: Instant | None = None
    receipts: Annotated[tuple[PurgeReceipt, ...], Meta(max_length=RECEIPTS_MAX)] = ()
    proof: Proof | None = None
    problem: StallReport | None = None


class ReportReply(Message, frozen=True, kw_only=True):
    """What of a report is stored now: these receipts need not be sent again. `wipe_lock` is for a device that has none."""

    audience: UUID
    epoch: UUID
    receipt_ids: tuple[UUID, ...] = ()
    wipe_lock: Digest | None = None


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
    RangesRequest,
    RangesReply,
    RepairRequest,
    ImageRequest,
    ImageReply,
    DeviceReport,
    ReportReply,
)
