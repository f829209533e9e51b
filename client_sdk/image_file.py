"""The file of an image on its way to being a replica: the part that came, the file that comes out of it, and what is checked.

What comes is kept byte by byte, so that nothing of it is asked for twice, and is unpacked meanwhile. Nothing here is a
device's until the whole has its digest and says of itself what was offered; until then all of it can be thrown away.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

import apsw
import msgspec
from backports import zstd

from client_sdk.errors import StoreFullError
from client_sdk.shape import expected_shape, shape_of
from client_sdk.state import STAGED_SCOPE, ScopeHeld, Staging, save
from sync_protocol.replica_schema import REPLICA_APPLICATION_ID, image_format
from sync_protocol.wire.codec import bounded_decompressor, scope_digest
from sync_protocol.wire.messages import ImageOffer

PIECE_BYTES: Final = 1024 * 1024
SENT_BYTES: Final = 16 * 1024 * 1024
"""So much is sent on its way to the disk at a time: where the whole is forced there in the end, little is left to wait for."""
FREE_BYTES_MIN: Final = 64 * 1024 * 1024
"""What is left free beside an image, for orders and for what a sync writes; rows need less room than an image and its file."""
_STATE: Final = {"image_format": bytes, "epoch": UUID, "commit_seq": int, "buckets": tuple[str, ...]}


class BadImageError(Exception):
    """A file that is not what was offered."""


def part_path(store_path: str, digest: bytes) -> Path:
    """Where what came of an image is kept."""
    return Path(f"{store_path}-image-{digest.hex()}")


def unlink_parts(store_path: str, but: bytes | None = None) -> None:
    """Remove what came of images, but for one that is still wanted."""
    beside = Path(store_path)
    kept = part_path(store_path, but) if but is not None else None
    for path in beside.parent.glob(f"{escape(beside.name)}-image-*"):
        if path != kept:
            with suppress(OSError):  # a later call does it
                _remove(path)


def _remove(path: Path) -> None:
    """Whatever has a name of ours: where a folder stood there, no image could ever come."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Unpacking:
    """One image: `resume` takes what came before, `hear` and `take` what comes now. Raises BadImageError.

    `hear` computes the digest and may be called in another thread than the others. `size` is how many bytes are here, `resumed`
    whether some of them came before.
    """

    def __init__(self, store_path: str, offer: ImageOffer) -> None:
        self.part = part_path(store_path, offer.digest)
        self.raw = self.part.with_name(self.part.name + "-unpacked")
        self.size = 0
        self.resumed = False
        self._offer = offer
        self._hash = hashlib.blake2b(digest_size=32)
        self._raw_size = 0
        self._sent_size = 0
        self._opened: list[BinaryIO] = []
        self._decompressor = bounded_decompressor()

    def resume(self) -> None:
        """Begin, with all that came before and is kept. Raises StoreFullError where there is no room for what is to come."""
        _remove(self.raw)
        if self.part.is_dir():
            _remove(self.part)
        for path in (self.part, self.raw):
            self._opened.append(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0))
        part = self._opened[0]
        came = os.fstat(part.fileno()).st_size
        if shutil.disk_usage(self.part.parent).free < max(0, self._offer.size - came) + self._offer.raw_size + FREE_BYTES_MIN:
            raise StoreFullError
        while piece := part.read(PIECE_BYTES):
            self.resumed = True
            self.hear(piece)
            self._unpack(piece)

    def hear(self, piece: bytes) -> None:
        """Compute the digest of what came: each piece once, in order, before or while it is taken."""
        self._hash.update(piece)

    def take(self, piece: bytes) -> None:
        """Keep and unpack what came."""
        part = self._opened[0]
        part.seek(self.size)
        part.write(piece)
        self._unpack(piece)

    def _unpack(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._offer.size:
            raise BadImageError("more came than was offered")
        for content in self._content(piece):
            self._raw_size += len(content)
            if self._raw_size > self._offer.raw_size:
                raise BadImageError("it unpacks to more than was offered")
            self._opened[1].write(content)
        if self._raw_size - self._sent_size >= SENT_BYTES:
            _begin_writing(self._opened[1].fileno(), self._sent_size, self._raw_size - self._sent_size)
            self._sent_size = self._raw_size

    def _content(self, piece: bytes) -> Iterator[bytes]:
        """What comes out of a piece, no more than a little at a time."""
        decompressor = self._decompressor
        try:
            yield decompressor.decompress(piece, PIECE_BYTES)
            while not (decompressor.needs_input or decompressor.eof):
                yield decompressor.decompress(b"", PIECE_BYTES)
        except (zstd.ZstdError, EOFError) as error:
            raise BadImageError(str(error)) from error
        if decompressor.unused_data:
            raise BadImageError("something follows its end")

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are here, right or not."""
        return self.size == self._offer.size

    def check(self) -> None:
        """That all of it came as it was built. What is unpacked is in the file by now, and not all of it on the disk yet."""
        if self._hash.digest() != self._offer.digest:
            raise BadImageError("its digest does not fit")
        if not self._decompressor.eof or self._raw_size != self._offer.raw_size:
            raise BadImageError("it is not as large as was offered")
        if not os.path.samestat(os.fstat(self._opened[1].fileno()), self.raw.stat()):
            raise BadImageError("another program is at it")

    def close(self) -> None:
        """Let go of the files, whole or not. What came is kept."""
        for opened in self._opened:
            opened.close()
        self._opened.clear()

    def drop(self) -> None:
        """Throw all of it away."""
        self.close()
        for path in (self.part, self.raw):
            with suppress(OSError):  # a later clean-up does it
                _remove(path)


def _begin_writing(descriptor: int, start: int, size: int) -> None:
    """Let the system begin to write a part of a file, without waiting for it: Linux does where a part is not needed any more."""
    if sys.platform == "linux":
        os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def staging_of(offer: ImageOffer) -> Staging:
    """Where the pull goes on behind an image."""
    return Staging(
        epoch=offer.epoch,
        cursor=offer.commit_seq,
        afresh=True,
        digest=scope_digest(offer.buckets),
        is_finished=True,
        rows=offer.rows,
        known=offer.place,
    )


def settle_as_built(connection: apsw.Connection, offer: ImageOffer) -> None:
    """Let an unpacked image be a replica that is whole but for what came since, and what is private. Raises BadImageError.

    A trigger, a view or an expression that is not ours would run here as ours do: what the file defines is looked at first.
    """
    if shape_of(connection) != expected_shape():
        raise BadImageError("it defines other things than a replica does")
    if connection.pragma("application_id") != REPLICA_APPLICATION_ID:
        raise BadImageError("it is no replica")
    said = {key: _said(connection, key, kind) for key, kind in _STATE.items()}
    offered = {"image_format": image_format(), "epoch": offer.epoch, "commit_seq": offer.commit_seq, "buckets": offer.buckets}
    if said != offered:
        raise BadImageError("it is not what was offered")
    if connection.execute("SELECT coalesce(sum(rows), 0) FROM range_sum").get != offer.rows:
        raise BadImageError("it does not have the rows that were offered")
    connection.execute("DELETE FROM replica_state WHERE key <> 'image_format'")
    save(connection, ScopeHeld(scope_digest(offer.buckets), offer.buckets), STAGED_SCOPE)
    save(connection, staging_of(offer))


def _said(connection: apsw.Connection, key: str, kind: Any) -> object:
    value = connection.execute("SELECT value FROM replica_state WHERE key = ?", (key,)).get
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except (msgspec.DecodeError, TypeError):
        return None
