"""Bytes and messages. Bodies are MessagePack with 16-byte ids; a page is a zstd stream of length-prefixed frames."""

import hashlib
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from backports import zstd

from sync_protocol.entities import SYNCED, Synced
from sync_protocol.intents import AnyIntent
from sync_protocol.upcasts import readable_as, upcast
from sync_protocol.values import CommitSeq, Row, RowChecksum, open_value, plain_type
from sync_protocol.verdicts import Code, Verdict, codes_told
from sync_protocol.wire.messages import IntentEnvelope, PageMessage

PAGE_MEDIA_TYPE: Final = "application/vnd.roadbook.page"
MESSAGE_MEDIA_TYPE: Final = "application/vnd.msgpack"
IMAGE_MEDIA_TYPE: Final = "application/vnd.roadbook.image"
INCARNATION_HEADER: Final = "Roadbook-Incarnation"
DIGEST_HEADER: Final = "Roadbook-Digest"
ANSWERS_HEADER: Final = "Roadbook-Answers"
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
ZSTD_LEVEL: Final = 1
ZSTD_WINDOW_LOG_MAX: Final = 23
"""A stream that asks its reader for more memory than a window of 8 MiB is refused."""
_LENGTH_BYTES: Final = 4
_TOGETHER_MIN: Final = 4  # rows; fewer are read faster one by one

T = TypeVar("T")
R = TypeVar("R", bound=Row)

_encoder = msgspec.msgpack.Encoder(uuid_format="bytes", order="deterministic")
_page_decoder = msgspec.msgpack.Decoder(PageMessage)
_intent_decoder: msgspec.msgpack.Decoder[AnyIntent] = msgspec.msgpack.Decoder(AnyIntent)
_verdict_decoder = msgspec.msgpack.Decoder(Verdict)

ENUM_TEXT_MAX: Final = 64

EnumText = typing.Annotated[str, msgspec.Meta(min_length=1, max_length=ENUM_TEXT_MAX, pattern=r"^[a-z][a-z0-9_]*$")]
"""A value of an enumeration, one that this version does not know among them."""

IdBytes = typing.Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class WireError(ValueError):
    """Bytes that are not what the protocol says: cut off, garbled, or of something else."""


def encode(message: object) -> bytes:
    """A message as canonical MessagePack: the same message always gives the same bytes."""
    return _encoder.encode(message)


def decode(body: bytes, message: type[T]) -> T:
    """A message from its bytes. Raises WireError that names the field."""
    try:
        return msgspec.msgpack.decode(body, type=message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(str(error)) from error


def decode_intent(body: bytes) -> AnyIntent:
    """An intent of today's schema from its canonical bytes. Raises WireError that names the field; an unknown field is one."""
    try:
        return _intent_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(str(error)) from error


def intent_of(envelope: IntentEnvelope) -> AnyIntent:
    """The intent in an envelope, whatever schema it was written in, in today's. Raises WireError as `decode_intent`."""
    try:
        written = _schema_decoder(envelope.kind, envelope.schema_version).decode(envelope.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(str(error)) from error
    return upcast(envelope.kind, envelope.schema_version, written)


@lru_cache(maxsize=64)
def _schema_decoder(kind: str, schema_version: int) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(readable_as(kind, schema_version))


def decode_verdict(body: bytes) -> Verdict:
    """A verdict from its bytes. A code of a newer server is kept, as `open_value` has it; the outcome must be one of the four."""
    try:
        return _verdict_decoder.decode(body)
    except msgspec.ValidationError:
        return _verdict_with_open_codes(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(str(error)) from error


class _OpenChange(msgspec.Struct, frozen=True):
    code: EnumText


class _OpenCodes(msgspec.Struct, frozen=True):
    codes: tuple[EnumText, ...] = ()
    changes: tuple[_OpenChange, ...] = ()


def _verdict_with_open_codes(body: bytes) -> Verdict:
    """The slow way, where some code is unknown: all else is checked with a known one in its place."""
    try:
        found = msgspec.msgpack.decode(body, type=_OpenCodes)
        whole = msgspec.msgpack.decode(body)
        changes = [{**change, "code": Code.MALFORMED} for change in whole.get("changes", ())]
        verdict = msgspec.convert({**whole, "codes": (), "changes": changes}, Verdict, builtin_types=(bytes,))
    except msgspec.DecodeError as error:
        raise WireError(str(error)) from error
    return msgspec.structs.replace(
        verdict,
        codes=tuple(open_value(Code, text) for text in found.codes),
        changes=tuple(
            msgspec.structs.replace(change, code=open_value(Code, each.code))
            for change, each in zip(verdict.changes, found.changes, strict=True)
        ),
    )


def digest(body: bytes) -> bytes:
    """BLAKE2b-128, of an intent's bytes or of a page's frames."""
    return hashlib.blake2b(body, digest_size=16).digest()


def scope_digest(buckets: Iterable[str]) -> bytes:
    """What names a scope: two are the same exactly where their digests are. 16 bytes."""
    return digest("\n".join(sorted(buckets)).encode())


@cache
def columns(synced: Synced, protocol_version: int) -> tuple[str, ...]:
    """The columns of a row on the wire for a reader of `protocol_version`: its version, from 2 on its checksum, its fields."""
    known = (field.name for field in msgspec.structs.fields(synced.row) if _since(field) <= protocol_version)
    return ("commit_seq", *(("checksum",) if protocol_version >= 2 else ()), *known)


def _since(field: msgspec.structs.FieldInfo) -> int:
    """The protocol version that brought a field, from `Meta(extra={"since": n})`; 1 where it is not said."""
    return int(_extra(field.type).get("since", 1))


def _extra(field_type: Any) -> dict[str, Any]:
    """What `Meta(extra=…)` says of a field, or of what it is where it is not None."""
    found: dict[str, Any] = {}
    for part in typing.get_args(field_type):
        found |= (part.extra or {}) if isinstance(part, msgspec.Meta) else _extra(part)
    return found


@cache
def _verdict_code_places(synced: Synced, protocol_version: int) -> tuple[int, ...]:
    """Where among the columns of this version verdict codes stand."""
    fields = {field.name: field for field in msgspec.structs.fields(synced.row)}
    names = columns(synced, protocol_version)
    return tuple(place for place, name in enumerate(names) if name in fields and _extra(fields[name].type).get("is_verdict_code"))


@cache
def is_told_whole(synced: Synced, protocol_version: int) -> bool:
    """Whether a reader of this version is told of rows of an entity all that there is, as it is: only then do its checksums fit."""
    knows_all = all(_since(field) <= protocol_version for field in msgspec.structs.fields(synced.row))
    is_translated = bool(_verdict_code_places(synced, protocol_version)) and bool(codes_told(protocol_version))
    return synced.since_protocol <= protocol_version and knows_all and not is_translated


def is_summed(bucket_kind: str, protocol_version: int) -> bool:
    """Whether the sums of such buckets are those of what a reader of this version is told of them."""
    return bucket_kind not in _unsummed_kinds(protocol_version)


@cache
def _unsummed_kinds(protocol_version: int) -> frozenset[str]:
    """Found once for each version: a device may ask for a hundred thousand buckets at a time."""
    return frozenset(synced.bucket.kind for synced in SYNCED if not is_told_whole(synced, protocol_version))


def rows_for(synced: Synced, rows: list[tuple[Any, ...]], protocol_version: int) -> list[tuple[Any, ...]]:
    """Rows of `columns`, with verdict codes that a reader of `protocol_version` knows."""
    places = _verdict_code_places(synced, protocol_version)
    known = codes_told(protocol_version) if places else {}
    if not known or not any(row[place] in known for row in rows for place in places):
        return rows
    return [tuple(known.get(value, value) if place in places else value for place, value in enumerate(row)) for row in rows]


@cache
def _rows_decoder(row: type[Row]) -> msgspec.msgpack.Decoder[list[tuple[Any, ...]]]:
    """Decodes rows into tuples that SQLite takes as they are: ids stay bytes, enums stay text, limits are checked."""
    fields = tuple(_stored(field.type) for field in msgspec.structs.fields(row))
    row_type = types.GenericAlias(tuple, (CommitSeq, RowChecksum, *fields))
    return msgspec.msgpack.Decoder(types.GenericAlias(list, (row_type,)))


def _stored(field_type: Any) -> Any:
    """The type under which a field is stored: UUID as 16 bytes, an enum as any such text, anything else as it is."""
    if typing.get_origin(field_type) in {types.UnionType, typing.Union}:
        parts = [_stored(part) for part in typing.get_args(field_type)]
        return typing.Union[tuple(parts)]  # noqa: UP007  # the members are only known at run time
    plain = plain_type(field_type)
    if plain is UUID:
        return IdBytes
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return EnumText
    return field_type


def decode_rows(synced: Synced, rows: msgspec.Raw) -> list[tuple[Any, ...]]:
    """The rows of a chunk that has all columns of `synced`, as (commit_seq, checksum, *stored fields). Raises WireError."""
    try:
        return _rows_decoder(synced.row).decode(rows)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{synced.name}: {error}"
        raise WireError(message) from error


def stored_values(row: Row) -> tuple[Any, ...]:
    """A row as the values that SQLite and the wire hold, in the order of its fields."""
    return tuple(value.bytes if isinstance(value, UUID) else value for value in msgspec.structs.astuple(row))


def row_from_stored(row: type[R], values: tuple[Any, ...]) -> R:
    """A row from its stored values, in the order of its fields. Raises WireError where they do not fit.

    A value of an enumeration that this version does not know is kept, as `open_value` has it.
    """
    fields = dict(zip(row.__struct_fields__, values, strict=True))
    try:
        return msgspec.convert(fields, row, builtin_types=(bytes,), strict=True)
    except msgspec.ValidationError as error:
        return _row_with_unknown(row, fields, error)


def rows_from_stored(row: type[R], stored: Sequence[tuple[Any, ...]]) -> list[R]:
    """Rows from their stored values, each as `row_from_stored` has it; many at once take half the time."""
    if len(stored) < _TOGETHER_MIN:
        return [row_from_stored(row, values) for values in stored]
    names = row.__struct_fields__
    fields = [dict(zip(names, values, strict=True)) for values in stored]
    try:
        return cast("list[R]", msgspec.convert(fields, _list_of(row), builtin_types=(bytes,), strict=True))
    except msgspec.ValidationError:  # the one that it is about names itself
        return [row_from_stored(row, values) for values in stored]


@cache
def _list_of(row: type[Row]) -> Any:
    return types.GenericAlias(list, (row,))


def _row_with_unknown(row: type[R], fields: dict[str, Any], error: msgspec.ValidationError) -> R:
    """The slow way, where some enumeration has an unknown value: all else is checked with a known one in its place."""
    unknown: dict[str, StrEnum] = {}
    for name, kind in _enum_fields(row):
        if isinstance(fields[name], str) and fields[name] not in kind._value2member_map_:
            unknown[name] = open_value(kind, fields[name])
            fields[name] = next(iter(kind))
    try:
        if not unknown:
            raise error
        known = msgspec.convert(fields, row, builtin_types=(bytes,), strict=True)
    except msgspec.ValidationError as damage:
        message = f"{row.__name__}: {damage}"
        raise WireError(message) from damage
    return msgspec.structs.replace(known, **unknown)


@cache
def _enum_fields(row: type[Row]) -> tuple[tuple[str, type[StrEnum]], ...]:
    """The fields of a row that are enumerations, or one or None."""
    return tuple(
        (field.name, kind)
        for field in msgspec.structs.fields(row)
        for kind in (plain_type(field.type),)
        if isinstance(kind, type) and issubclass(kind, StrEnum)
    )


class PageWriter:
    """Builds a page: frames in, pieces of one zstd stream out."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        # The checksum covers what the trailer's digest cannot: the trailer.
        parameters: dict[int, int] = {
            zstd.CompressionParameter.compression_level: ZSTD_LEVEL,
            zstd.CompressionParameter.checksum_flag: 1,
        }
        self._compressor = zstd.ZstdCompressor(options=parameters)

    @property
    def digest(self) -> bytes:
        """The digest of all frames so far, as the trailer carries it."""
        return self._hash.digest()

    def frame(self, message: object) -> bytes:
        """The next piece of the stream; empty while the compressor gathers."""
        body = _encoder.encode(message)
        assert len(body) <= FRAME_BYTES_MAX
        framed = len(body).to_bytes(_LENGTH_BYTES, "big") + body
        self._hash.update(framed)
        return self._compressor.compress(framed)

    def close(self) -> bytes:
        """The end of the stream."""
        return self._compressor.flush()


def bounded_decompressor() -> zstd.ZstdDecompressor:
    """A decompressor of one stream whose window is at most 8 MiB."""
    return zstd.ZstdDecompressor(options={int(zstd.DecompressionParameter.window_log_max): ZSTD_WINDOW_LOG_MAX})


class PageReader:
    """Takes a page apart as its bytes come in, whatever the sizes of the pieces; memory stays within one frame."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._digest = self._hash.digest()
        self._decompressor = bounded_decompressor()
        self._buffer = bytearray()
        self._size = 0

    @property
    def digest(self) -> bytes:
        """The digest of all frames before the one that was read last."""
        return self._digest

    @property
    def ended(self) -> bool:
        """Whether the stream came to its end, checksum and all."""
        return self._decompressor.eof

    @property
    def size(self) -> int:
        """How many bytes the pieces so far were before they were compressed."""
        return self._size

    def feed(self, piece: bytes) -> Iterator[PageMessage]:
        """The messages that `piece` completes. Raises WireError."""
        pending = piece
        while pending or not self._decompressor.needs_input:
            try:
                decompressed = self._decompressor.decompress(pending, FRAME_BYTES_MAX)
            except (zstd.ZstdError, EOFError) as error:
                raise WireError(str(error)) from error
            pending = b""
            self._buffer += decompressed
            self._size += len(decompressed)
            yield from self._messages()
            if self._decompressor.eof or not decompressed:
                return

    def _messages(self) -> Iterator[PageMessage]:
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if length > FRAME_BYTES_MAX:
                message = f"a frame of {length} bytes is over the limit of {FRAME_BYTES_MAX}"
                raise WireError(message)
            end = _LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            framed = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._digest = self._hash.digest()
            self._hash.update(framed)
            try:
                yield _page_decoder.decode(framed[_LENGTH_BYTES:])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise WireError(str(error)) from error
