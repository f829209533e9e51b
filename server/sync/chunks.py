"""Rows on a page, in chunks that stay well within a frame however long their texts are."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sync_protocol.entities import Synced
from sync_protocol.wire.codec import columns, encode, rows_for
from sync_protocol.wire.messages import RowChunk

CHUNK_BYTES_MAX: Final = 1024 * 1024


def row_chunks(synced: Synced, rows: list[tuple[Any, ...]], protocol_version: int) -> Iterator[tuple[RowChunk, int]]:
    """Rows of `columns` for a device of this version, halved until each part fits; each chunk with how many rows it has."""
    encoded = encode(rows_for(synced, rows, protocol_version))
    if len(encoded) > CHUNK_BYTES_MAX and len(rows) > 1:
        middle = len(rows) // 2
        yield from row_chunks(synced, rows[:middle], protocol_version)
        yield from row_chunks(synced, rows[middle:], protocol_version)
        return
    yield RowChunk(entity=synced.name, columns=columns(synced, protocol_version), rows=msgspec.Raw(encoded)), len(rows)
