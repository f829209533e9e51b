"""First sync as images, the server's side: what a build takes, and what many downloads cost.

A build's limit is compressing the same file once more, which is the last of its steps. A download's is `sendfile`, which
hands a file to a socket without looking at it.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from backports import zstd

from benchmarks.device import entered
from benchmarks.figures import Figure, Spent, processor_seconds, resident_megabytes, spending
from benchmarks.premises import Premises
from server.sync.images.file import compress
from sync_protocol.wire.messages import ImageOffer

DOWNLOADS: Final = 100
AT_ONCE: Final = 20
_POLL_SECONDS: Final = 0.05


def run(place: Premises) -> list[Figure]:
    code = place.code()
    built, seconds, spent, peak = _build(place)
    (image,) = [each for each in built if len(each["buckets"]) > 1]
    file = next(place.images.glob(f"*/{image['digest']}.sqlite.zst"))
    compressing = _compress_again(file, place.folder)
    server = place.server
    used = processor_seconds(server)
    with spending() as downloading:
        asyncio.run(_download(place.server_url, code))
    served = processor_seconds(server) - used
    sizes = f"{image['raw_size'] / 1e6:.0f} MB, compressed {image['size'] / 1e6:.1f} MB"
    return [
        _figure(
            place,
            spent,
            what=f"an image of {image['rows']:,} rows built",
            value=image["seconds"],
            aim=30,
            limit=compressing,
            limit_what="compressing it",
            cost_max=10,
            note=f"{sizes}; the process took {seconds:.1f} s with the catalogue's, and peaked at {peak:.0f} MB",
        ),
        _figure(
            place,
            downloading,
            what=f"the server's processor for {DOWNLOADS} downloads of it",
            value=served,
            aim=10,
            limit=_send_bare(file) * DOWNLOADS,
            limit_what="sendfile",
            cost_max=10,
            note=f"{DOWNLOADS * image['size'] / 1e6 / downloading.seconds:.0f} MB/s, {AT_ONCE} at once",
        ),
    ]


def _figure(place: Premises, spent: Spent, **values: Any) -> Figure:
    return Figure(budget="images", engine=place.engine, unit="s", limit_unit="s", foreign_cores=spent.foreign_cores, **values)


def _build(place: Premises) -> tuple[list[dict[str, Any]], float, Spent, float]:
    """What `roadbook images build` built, how long it ran, and its peak in megabytes."""
    environment = {**os.environ, "ROADBOOK_DATABASE_URL": place.database_url, "ROADBOOK_IMAGES_URL": str(place.images)}
    command = (sys.executable, "-m", "server", "images", "build", "--all", "--json")
    peak, began = 0.0, time.perf_counter()
    with spending() as spent, subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(_POLL_SECONDS)
        assert process.stdout is not None
        done = msgspec.json.decode(process.stdout.read())
    return done["built"], time.perf_counter() - began, spent, peak


def _memory(pid: int) -> float:
    try:
        return resident_megabytes(pid)
    except (OSError, RuntimeError):
        return 0.0  # it has ended


def _compress_again(file: Path, folder: Path) -> float:
    raw = folder / "image.sqlite"
    raw.write_bytes(zstd.decompress(file.read_bytes()))
    began = time.perf_counter()
    compress(raw, folder / "image.zst")
    return time.perf_counter() - began


async def _download(server_url: str, code: str) -> None:
    """Let one device download its image as often as many would."""
    endpoint, asked = await entered(server_url, code)
    offer = (await endpoint.image(asked)).image
    assert isinstance(offer, ImageOffer)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with gate:
            pieces = endpoint.image_file(asked.device_id, asked.incarnation, offer.digest, 0)
            assert sum([len(piece) async for piece in pieces]) == offer.size

    await asyncio.gather(*(one() for _ in range(DOWNLOADS)))
    await endpoint.close()


def _send_bare(file: Path) -> float:
    """The processor time of one thread that sends a file through a connection to this machine."""
    spent: list[float] = []

    def send(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, file.open("rb") as reading:
            began = time.thread_time()
            connection.sendfile(reading)
            spent.append(time.thread_time() - began)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = threading.Thread(target=send, args=(listener,))
        sender.start()
        with socket.create_connection(listener.getsockname()) as receiver:
            while receiver.recv(1024 * 1024):
                pass
        sender.join()
    return spent[0]
