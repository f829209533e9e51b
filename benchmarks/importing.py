"""What it costs to bring legacy data in: a file of prices through a mapping, new, unchanged and changed.

The limits are the same values, read already, by one bare `executemany` into a table without an index, committed; and, for memory,
what the program takes to import nothing. An import runs as users run it, in a process of its own.
"""

import csv
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from benchmarks.figures import MEGABYTE, Figure, Spent, spending
from benchmarks.premises import Premises

BREAKS: Final = 10
"""Of a tenth of the products of the standard work."""
LARGE: Final = 10
"""How many times as many rows show whether memory grows with them."""
_WATCH_SECONDS: Final = 0.02
_MAPPING: Final = """
name = "bench"
currency = "EUR"
[sources.once]
rows = [{ code = "EA", name = "Each" }]
[sources.products]
file = "products.csv"
[sources.prices]
file = "prices.csv"
[[targets]]
entity = "unit"
from = "once"
key = ["code"]
fields.code = { constant = "BENCH-EA" }
fields.name = { column = "name" }
[[targets]]
entity = "price_list"
from = "once"
key = ["code"]
fields.code = { constant = "BENCH" }
fields.name = { constant = "Bench" }
fields.currency = { constant = "EUR" }
[[targets]]
entity = "product"
from = "products"
key = ["sku"]
fields.sku = { column = "sku" }
fields.name = { column = "name" }
fields.description = { constant = "" }
fields.status = { constant = "active" }
fields.unit_id = { reference = "unit", key = [{ constant = "EA" }] }
[[targets]]
entity = "price_entry"
from = "prices"
key = ["sku", "from"]
[targets.fields]
price_list_id = { reference = "price_list", key = [{ constant = "EA" }] }
product_id = { reference = "product", key = ["sku"] }
min_quantity = { column = "from", as = "integer" }
unit_price = { column = "price", as = "unit_price" }
"""


def run(place: Premises) -> list[Figure]:
    products = max(10, place.work.products_count // 10)
    folder = place.folder / "legacy"
    folder.mkdir()
    (folder / "mapping.toml").write_text(_MAPPING, encoding="utf-8")
    _write(folder / "products.csv", ("sku", "name"), ((f"B-{n:06d}", f"Bolt {n}") for n in range(products)))
    _write(folder / "prices.csv", ("sku", "from", "price"), ())
    idle_mb = _import(place, folder)
    rows = products * BREAKS
    figures = []
    for what, changed in (("new", 0), ("unchanged", 0), ("changed", 1)):
        _write(folder / "prices.csv", ("sku", "from", "price"), _prices(products, BREAKS, changed))
        with spending(*place.others) as spent:
            peak_mb = _import(place, folder)
        figures.append(_figure(place, f"{rows:,} {what} prices", rows, spent, _bare(folder)))
    _write(folder / "prices.csv", ("sku", "from", "price"), _prices(products, BREAKS * LARGE, 2))
    large_mb = _import(place, folder)
    figures.append(_memory(place, rows, peak_mb, large_mb, idle_mb))
    return figures


def _write(path: Path, head: tuple[str, ...], rows: Iterator[tuple[object, ...]] | tuple[()]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


def _prices(products: int, breaks: int, round_number: int) -> Iterator[tuple[object, ...]]:
    chance = random.Random(f"prices/{round_number}")
    for number in range(products):
        for place in range(breaks):
            yield f"B-{number:06d}", place + 1, f"{chance.randint(1, 99_999)}.{chance.randint(0, 99):02d}"


def _import(place: Premises, folder: Path) -> float:
    """Run `roadbook import`; its peak of resident memory in megabytes."""
    command = [sys.executable, "-m", "server", "import", str(folder), "--mapping", str(folder / "mapping.toml"), "--json"]
    peak = 0
    environment = {**os.environ, "ROADBOOK_DATABASE_URL": place.database_url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, watched.memory_info().rss)
            time.sleep(_WATCH_SECONDS)
    assert process.returncode == 0
    return peak / MEGABYTE


def _bare(folder: Path) -> float:
    """The seconds that the same values take into a table of their own."""
    with (folder / "prices.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    path = folder / f"bare-{time.monotonic_ns()}.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE price (sku TEXT, start TEXT, price TEXT)")
    began = time.perf_counter()
    with connection:
        connection.executemany("INSERT INTO price VALUES (?, ?, ?)", rows)
    seconds = time.perf_counter() - began
    connection.close()
    path.unlink()
    return seconds


def _figure(place: Premises, what: str, rows: int, spent: Spent, bare: float) -> Figure:
    return Figure(
        budget="importing",
        what=f"{what} of a CSV file through a mapping, with their record",
        engine=place.engine,
        value=rows / spent.seconds,
        unit="rows/s",
        aim=5_000,
        limit=rows / bare,
        limit_what="bare executemany of the same values",
        limit_unit="/s",
        cost_max=400,
        more_is_better=True,
        note=f"{spent.seconds:.1f} s, processor {spent.processor:.1f} s, with the start of the program",
        foreign_cores=spent.foreign_cores,
    )


def _memory(place: Premises, rows: int, peak_mb: float, large_mb: float, idle_mb: float) -> Figure:
    return Figure(
        budget="importing",
        what=f"memory of an import of {rows * LARGE:,} prices",
        engine=place.engine,
        value=large_mb,
        unit="MB",
        aim=500,
        limit=idle_mb,
        limit_what="an import of the products alone",
        limit_unit="MB",
        cost_max=5,
        note=f"{peak_mb:.0f} MB of {rows:,}",
    )
