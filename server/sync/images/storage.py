"""Where the files of images are: a folder of this machine, or a bucket of anything that speaks S3.

A file is named by the log that it is of and by its digest, and never changes: two databases that share one place do not
take each other's files for their own leavings.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, S3Store
from sqlalchemy.engine import URL

from server.sync.images.errors import ImageNotFoundError, ImageStorageDownError

PIECE_BYTES: Final = 512 * 1024
"""What a download holds in memory: small enough for a thousand at once, large enough to cost the processor little."""
_SUFFIX: Final = ".sqlite.zst"
_RETRIES_MAX: Final = 2
_RETRY_SECONDS_MAX: Final = 10


class ImageStorage:
    """The files of images. Raises ImageStorageDownError wherever the place cannot be reached."""

    def __init__(self, place: str) -> None:
        """`place` is a folder, made where it is missing, or `s3://bucket/prefix`, to which `AWS_…` variables are the key."""
        self.place = place
        self.folder = None if place.startswith("s3://") else Path(place)
        self._opened: LocalStore | S3Store | None = None

    @property
    def _store(self) -> LocalStore | S3Store:
        if self._opened is None:
            self._opened = LocalStore(self.folder, mkdir=True) if self.folder is not None else _s3_store(self.place)
        return self._opened

    async def put(self, epoch: UUID, digest: bytes, file: Path) -> None:
        """Store a file: whole, or not at all."""
        with self._failing():
            await obstore.put_async(self._store, _name(epoch, digest), file)

    async def pieces(self, epoch: UUID, digest: bytes, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`. Each piece is asked for when it is wanted: a slow reader holds no connection.

        Raises ImageNotFoundError where there is no such file.
        """
        for place in range(start, end, PIECE_BYTES):
            yield await self._piece(epoch, digest, place, min(place + PIECE_BYTES, end))

    async def _piece(self, epoch: UUID, digest: bytes, start: int, end: int) -> bytes:
        with self._failing():
            try:
                return bytes(await obstore.get_range_async(self._store, _name(epoch, digest), start=start, end=end))
            except (NotFoundError, FileNotFoundError) as error:
                raise ImageNotFoundError(digest) from error

    async def stored(self, epoch: UUID) -> dict[bytes, int]:
        """What there is of a log: the size of each file by its digest."""
        found: dict[bytes, int] = {}
        with self._failing():
            async for some in obstore.list(self._store, prefix=epoch.hex):
                named = {each["path"].rpartition("/")[2]: each["size"] for each in some}
                found |= {bytes.fromhex(name.removesuffix(_SUFFIX)): named[name] for name in named if name.endswith(_SUFFIX)}
        return found

    async def delete(self, epoch: UUID, digest: bytes) -> None:
        """Remove a file; one that is gone is no error."""
        with self._failing():
            try:
                await obstore.delete_async(self._store, _name(epoch, digest))
            except (NotFoundError, FileNotFoundError):
                return

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """The storage's errors as ours."""
        try:
            yield
        except (BaseError, OSError) as error:
            raise ImageStorageDownError(self.place, str(error)) from error


def image_place(images_url: str, database_url: URL) -> str:
    """Where images are: as the setting says, else beside the SQLite file, else in the working folder."""
    if images_url:
        return images_url
    if database_url.get_backend_name() == "sqlite":
        return f"{database_url.database or 'roadbook'}-images"
    return "roadbook-images"


def _s3_store(place: str) -> S3Store:
    """A bucket. A server of one's own may be without TLS, where its address says so."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", ""))
    return S3Store.from_url(
        place,
        client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": _RETRIES_MAX, "retry_timeout": timedelta(seconds=_RETRY_SECONDS_MAX)},
    )


def _name(epoch: UUID, digest: bytes) -> str:
    return f"{epoch.hex}/{digest.hex()}{_SUFFIX}"
