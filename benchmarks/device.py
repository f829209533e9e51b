"""A process that is nothing but a device, so that its memory and its processor time are a device's.

Run as `python -m benchmarks.device COMMAND` with the arguments as JSON on standard input; the answer is JSON.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec
from backports import zstd

from benchmarks.figures import resident_megabytes
from client_sdk import OrderClient
from client_sdk.replica_file import shown_path
from client_sdk.transport import HttpEndpoint
from sync_protocol.entities import SYNCED
from sync_protocol.replica_schema import image_format, index_sql, key_sql, table_sql
from sync_protocol.wire.messages import EnrolRequest, ImageRequest, PullRequest
from sync_protocol.wire.version import PROTOCOL_VERSION


class CountingEndpoint(HttpEndpoint):
    """The protocol over HTTP, counting the bytes and pages that come down."""

    received = 0
    pages = 0

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        CountingEndpoint.pages += 1
        async for piece in super().pull(request):
            CountingEndpoint.received += len(piece)
            yield piece

    async def image_file(self, device_id: UUID, incarnation: bytes, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        async for piece in super().image_file(device_id, incarnation, digest, offset):
            CountingEndpoint.received += len(piece)
            yield piece


def first_sync(path: str, server_url: str, code: str) -> dict[str, Any]:
    """Enrol a device and sync it for the first time."""
    return asyncio.run(_first_sync(path, server_url, code))


async def _first_sync(path: str, server_url: str, code: str) -> dict[str, Any]:
    async with await OrderClient.open(path, endpoint_for=CountingEndpoint) as device:
        await device.enrol(server_url, code, "benchmark")
        idle = resident_megabytes(os.getpid(), peak=True)
        began, used = time.perf_counter(), time.process_time()
        report = await device.sync()
        seconds, processor = time.perf_counter() - began, time.process_time() - used
        status = await device.status()
    return {
        "rows": report.rows,
        "products": status.products,
        "seconds": seconds,
        "processor": processor,
        "wire_bytes": CountingEndpoint.received,
        "pages": CountingEndpoint.pages,
        "idle_megabytes": idle,
        "peak_megabytes": resident_megabytes(os.getpid(), peak=True),
        "file_megabytes": sum(each.stat().st_size for each in Path(path).parent.glob(Path(path).name + "*")) / 1024 / 1024,
    }


def bare_image(path: str, server_url: str, code: str) -> dict[str, Any]:
    """Download the image that is offered, decompress it, write it and force it to the disk: nothing else."""
    return asyncio.run(_bare_image(path, server_url, code))


async def entered(server_url: str, code: str) -> tuple[HttpEndpoint, ImageRequest]:
    """A new device that is nothing but its endpoint, and its question for an image."""
    entering = HttpEndpoint(server_url)
    device = await entering.enrol(EnrolRequest(protocol_version=PROTOCOL_VERSION, code=code, device_name="bare"))
    await entering.close()
    asked = ImageRequest(
        protocol_version=PROTOCOL_VERSION,
        device_id=device.device_id,
        incarnation=device.incarnation,
        image_format=image_format(),
    )
    return HttpEndpoint(server_url, device.token), asked


async def _bare_image(path: str, server_url: str, code: str) -> dict[str, Any]:
    endpoint, asked = await entered(server_url, code)
    began, used = time.perf_counter(), time.process_time()
    offer = (await endpoint.image(asked)).image
    assert offer is not None
    decompressor = zstd.ZstdDecompressor()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    async for piece in endpoint.image_file(asked.device_id, asked.incarnation, offer.digest, 0):
        os.write(descriptor, decompressor.decompress(piece))
    os.fsync(descriptor)
    os.close(descriptor)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    await endpoint.close()
    return {"rows": offer.rows, "seconds": seconds, "processor": processor}


def bare_insert(source: str, path: str) -> dict[str, Any]:
    """The rows of a synced device into a new file: `executemany` into tables with keys, then the indexes, in one transaction."""
    rows = _rows_of(source)
    gc.freeze()
    connection = connect(path)
    began, used = time.perf_counter(), time.process_time()
    connection.execute("BEGIN IMMEDIATE")
    for synced in SYNCED:
        connection.execute(table_sql(synced, synced.name))
        connection.execute(key_sql(synced.name))
        marks = ", ".join("?" * (2 + len(synced.row.__struct_fields__)))
        connection.executemany(f"INSERT INTO {synced.name} VALUES ({marks})", rows[synced.name])
        for statement in index_sql(synced):
            connection.execute(statement)
    connection.execute("COMMIT")
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    connection.close()
    return {"rows": sum(map(len, rows.values())), "seconds": seconds, "processor": processor}


def _rows_of(source: str) -> dict[str, list[tuple[Any, ...]]]:
    connection = apsw.Connection(str(shown_path(source)), flags=apsw.SQLITE_OPEN_READONLY)
    rows = {synced.name: connection.execute(f"SELECT * FROM {synced.name} ORDER BY rowid").fetchall() for synced in SYNCED}
    connection.close()
    return rows


def connect(path: str) -> apsw.Connection:
    """A file that is as durable as a device's."""
    connection = apsw.Connection(path)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-32768"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


COMMANDS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "first_sync": first_sync,
    "bare_insert": bare_insert,
    "bare_image": bare_image,
}


def main() -> None:
    arguments = msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, Any])
    answer = COMMANDS[sys.argv[1]](**arguments)
    os.write(1, msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
