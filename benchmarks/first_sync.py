"""First sync by rows: an empty device until every row can be found, the indexes and the full-text index built.

The limit is a plain `executemany` of the same rows into the same tables, then the same indexes, in one transaction, in one
process that has the rows in memory already: no server, no network, no decoding, no full-text index. The server's memory
is a budget of its own; its limit is the size of one page's worth of rows, doubled for the copy that is being sent.
"""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Spent, forget_peak, processor_seconds, resident_megabytes, spending
from benchmarks.premises import Premises
from tests.support.device_files import move_device

ROUNDS = 3


def run(place: Premises) -> list[Figure]:
    rounds = [_round(place) for _ in range(ROUNDS)]
    synced, bare, spent, server = min(rounds, key=lambda each: each[0]["seconds"])
    place.kept["first_sync"] = rounds
    note = (
        f"{synced['seconds']:.1f} s; processor: device {synced['processor']:.1f} s, server {server['processor']:.1f} s "
        f"(database {server['database']:.1f} s); {synced['wire_bytes'] / 1e6:.1f} MB over the wire in {synced['pages']} pages; "
        f"device peaked at {synced['peak_megabytes']:.0f} MB, {synced['idle_megabytes']:.0f} MB of it before"
    )
    return [
        Figure(
            budget="first_sync",
            what=f"{synced['rows']:,} rows to all of them found",
            engine=place.engine,
            value=synced["rows"] / synced["seconds"],
            unit="rows/s",
            aim=50_000,
            limit=bare["rows"] / bare["seconds"],
            limit_what="executemany of the same rows",
            limit_unit="rows/s",
            cost_max=2.5,
            more_is_better=True,
            note=note,
            foreign_cores=spent.foreign_cores,
        )
    ]


def _round(place: Premises) -> tuple[dict[str, Any], dict[str, Any], Spent, dict[str, float]]:
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
        bare = place.device("bare_insert", source=str(path), path=str(Path(folder) / "bare.db"))
        if "device" not in place.kept:
            place.kept["device"] = move_device(path, place.folder / "device.db")
    return synced, bare, spent, costs
