"""The file of an image: a replica of shared buckets, exactly as a device keeps it, and then compressed.

Filled in the order of ids, so that its indexes are written from one end to the other; rows come a chunk at a time, so
that memory stays the same however large it grows.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from backports import zstd

from sync_protocol.entities import Synced
from sync_protocol.replica_schema import create_sql, finish_sql
from sync_protocol.wire.codec import encode

ZSTD_LEVEL: Final = 9
_PIECE_BYTES: Final = 1024 * 1024
_PAGE_BYTES: Final = 4096
_CACHE_KIBIBYTES: Final = 32 * 1024


class Compressed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of compressing a file: its name and its sizes in bytes."""

    digest: bytes
    size: int
    raw_size: int


class ImageFile:
    """A new file at `path`, to be filled and then finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._connection = sqlite3.connect(path, isolation_level=None)
        # Nobody reads it before it is whole, and a build that dies begins anew: nothing needs to survive a power cut.
        for pragma in (f"page_size={_PAGE_BYTES}", "journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIBIBYTES}"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")
        self._run(create_sql())

    def add(self, synced: Synced, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
        """Add rows of an entity."""
        marks = ", ".join("?" for _ in columns)
        self._connection.executemany(f"INSERT INTO {synced.name} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608  # names of the registry
        self.rows += len(rows)

    def finish(self, state: Mapping[str, object]) -> None:
        """Make what is derived from the rows, write down what the file says of itself, and close it."""
        self._run(finish_sql())
        values = ((key, encode(value)) for key, value in state.items())
        self._connection.executemany("INSERT INTO replica_state VALUES (?, ?)", values)
        self._connection.execute("INSERT INTO product_search (product_search) VALUES ('optimize')")
        self._connection.execute("COMMIT")
        self.close()

    def close(self) -> None:
        """Let go of the file, whole or not."""
        self._connection.close()

    def _run(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self._connection.execute(statement)


def compress(source: Path, target: Path, level: int = ZSTD_LEVEL) -> Compressed:
    """Compress a file, with a checksum in it, and name it by what came of it."""
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    compressor = zstd.ZstdCompressor(options=options)
    named = hashlib.blake2b(digest_size=32)
    size = raw_size = 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while piece := reading.read(_PIECE_BYTES):
            raw_size += len(piece)
            compressed = compressor.compress(piece)
            named.update(compressed)
            size += writing.write(compressed)
        rest = compressor.flush()
        named.update(rest)
        size += writing.write(rest)
    return Compressed(digest=named.digest(), size=size, raw_size=raw_size)
