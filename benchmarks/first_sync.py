"""First sync, by rows and by an image: an empty device until every row can be found, the indexes and the full-text index built.

The limit of rows is a plain `executemany` of the same rows into the same tables, then the same indexes, in one transaction,
in one process that has the rows in memory already: no server, no network, no decoding, no full-text index. The limit of an
image is downloading the same file, decompressing it, writing it and forcing it to the disk. The server's memory
is a budget of its own; its limit is the size of one page's worth of rows, doubled for the copy that is being sent.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Spent, forget_peak, processor_seconds, resident_megabytes, spending
from benchmarks.premises import Premises
from tests.support.device_files import move_device

ROUNDS = 3

Round = tuple[dict[str, Any], dict[str, Any], Spent, dict[str, float]]


def run(place: Premises) -> list[Figure]:
    by_rows = [_round(place) for _ in range(ROUNDS)]
    place.kept["first_sync"] = by_rows
    _build_images(place)
    by_image = [_round(place, is_image=True) for _ in range(ROUNDS)]
    return [
        _figure(place, by_rows, what="by rows", aim=50_000, limit_what="executemany of the same rows", cost_max=1.43),
        _figure(place, by_image, what="by an image", aim=250_000, limit_what="download, unpack, write, fsync", cost_max=2.0),
    ]


def _figure(place: Premises, rounds: list[Round], *, what: str, **values: Any) -> Figure:
    synced, bare, spent, server = min(rounds, key=lambda each: each[0]["seconds"])
    note = (
        f"{synced['seconds']:.1f} s; processor: device {synced['processor']:.1f} s, server {server['processor']:.1f} s "
        f"(database {server['database']:.1f} s); {synced['wire_bytes'] / 1e6:.1f} MB over the wire in {synced['pages']} pages; "
        f"device peaked at {synced['peak_megabytes']:.0f} MB, {synced['idle_megabytes']:.0f} MB of it before; "
        f"server grew by {server['peak'] - server['idle']:.0f} MB"
    )
    return Figure(
        budget="first_sync",
        what=f"{synced['rows']:,} rows {what} to all of them found",
        engine=place.engine,
        value=synced["rows"] / synced["seconds"],
        unit="rows/s",
        limit=bare["rows"] / bare["seconds"],
        limit_unit="rows/s",
        more_is_better=True,
        note=note,
        foreign_cores=spent.foreign_cores,
        **values,
    )


def _build_images(place: Premises) -> None:
    environment = {**os.environ, "ROADBOOK_DATABASE_URL": place.database_url, "ROADBOOK_IMAGES_URL": str(place.images)}
    command = (sys.executable, "-m", "server", "images", "build", "--all", "--json")
    subprocess.run(command, env=environment, check=True, capture_output=True)


def _round(place: Premises, *, is_image: bool = False) -> Round:
    place.start_server()
    server, code = place.server, place.code()
    forget_peak(server.pid)
    idle = resident_megabytes(server.pid)
    used, database = processor_seconds(server), processor_seconds(*place.others)
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        path = Path(folder) / "device.db"
        with spending(*place.others) as spent:
            synced = place.device("first_sync", path=str(path), server_url=place.server_url, code=code)
        costs = {
            "processor": processor_seconds(server) - used,
            "database": processor_seconds(*place.others) - database,
            "idle": idle,
            "peak": resident_megabytes(server.pid, peak=True),
        }
        bare_path = str(Path(folder) / "bare.db")
        if is_image:
            bare = place.device("bare_image", path=bare_path, server_url=place.server_url, code=place.code())
        else:
            bare = place.device("bare_insert", source=str(path), path=bare_path)
        if "device" not in place.kept:
            place.kept["device"] = move_device(path, place.folder / "device.db")
    return synced, bare, spent, costs
