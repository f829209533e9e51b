"""What a first sync of the whole standard work costs the server in memory: its peak above what it holds when idle.

The limit is the size of one page as it is sent, twice: the page itself and the rows that it is made of cannot both be
nowhere. What the rows take as objects of the language is the cost.
"""

from benchmarks import first_sync
from benchmarks.figures import MEGABYTE, Figure
from benchmarks.premises import Premises
from server.sync.pull import PAGE_BYTES_MAX


def run(place: Premises) -> list[Figure]:
    if "first_sync" not in place.kept:
        first_sync.run(place)
    rounds = place.kept["first_sync"]
    synced, _, spent, costs = max(rounds, key=lambda each: each[3]["peak"] - each[3]["idle"])
    return [
        Figure(
            budget="server_memory",
            what=f"growth of the server in a first sync of {synced['rows']:,} rows",
            engine=place.engine,
            value=costs["peak"] - costs["idle"],
            unit="MB",
            aim=150,
            limit=2 * PAGE_BYTES_MAX / MEGABYTE,
            limit_what="one page, twice",
            limit_unit="MB",
            cost_max=20,
            note=f"idle {costs['idle']:.0f} MB, peak {costs['peak']:.0f} MB, the worst of {len(rounds)}",
            foreign_cores=spent.foreign_cores,
        )
    ]
