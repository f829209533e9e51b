"""Half of a crowd of devices in a process of its own: real devices with real files, run side by side.

Run as `python -m benchmarks.crowd COMMAND` with the arguments as JSON on standard input; the answer is JSON.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from benchmarks.figures import resident_megabytes
from client_sdk import OrderClient, WantedLine, drafts, submitting
from client_sdk.clock import Surroundings
from client_sdk.errors import RoadbookError, ServerBusyError
from sync_protocol.entities.orders import OrderStatus

LINES: Final = 10
AT_ONCE: Final = 8
TRIES_MAX: Final = 200
WAIT_SECONDS: Final = 2.0


class Member(msgspec.Struct, frozen=True):
    """A device of the crowd: its file, and the code that makes it a device."""

    path: str
    code: str


async def prepare(server_url: str, members: list[Member], orders: int) -> dict[str, Any]:
    """Enrol every device, sync it for the first time and take its orders, while there is a network no more."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(member: Member) -> None:
        async with gate, await OrderClient.open(member.path) as device:
            await device.enrol(server_url, member.code, member.path.rpartition("/")[2])
            await device.sync()
            await device._store.write(_take_orders, orders, random.Random(member.path), device._surroundings)

    await asyncio.gather(*map(one, members))
    return {"devices": len(members)}


def _take_orders(connection: apsw.Connection, orders: int, chance: random.Random, surroundings: Surroundings) -> None:
    customers = [row for (row,) in connection.execute("SELECT id FROM customer")]
    goods = connection.execute(
        """
        SELECT DISTINCT e.product_id FROM price_entry e JOIN product p ON p.id = e.product_id
          JOIN stock_level s ON s.product_id = p.id WHERE p.status = 'active'
        """
    ).fetchall()
    for _ in range(orders):
        order_id = drafts.create(connection, UUID(bytes=chance.choice(customers)), None, surroundings)
        for (product,) in chance.sample(goods, LINES):
            drafts.add_line(connection, order_id, WantedLine(UUID(bytes=product), chance.randint(100, 120)), surroundings)
        submitting.submit(connection, order_id, surroundings)


async def converge(members: list[Member], seconds: float) -> dict[str, Any]:
    """Sync every device from a moment of its own within `seconds` on, until all that it held is decided."""
    seen: dict[str, Any] = {"durations": [], "refused": 0, "refused_without_wait": 0, "failures": {}, "rows": 0}

    async def one(member: Member) -> None:
        await asyncio.sleep(random.Random(member.path).random() * seconds)
        began = time.perf_counter()
        async with await OrderClient.open(member.path) as device:
            for _ in range(TRIES_MAX):
                try:
                    report = await device.sync()
                except ServerBusyError as error:
                    seen["refused"] += 1
                    seen["refused_without_wait"] += error.retry_after_seconds is None
                    await asyncio.sleep(random.random() * (error.retry_after_seconds or WAIT_SECONDS))
                except RoadbookError as error:
                    name = f"{type(error).__name__}: {error}"
                    seen["failures"][name] = seen["failures"].get(name, 0) + 1
                    await asyncio.sleep(random.random() * WAIT_SECONDS)
                else:
                    seen["rows"] += report.rows
                    if not report.deferred:
                        break
            assert await device.outbox() == []
            assert await device.orders(status=OrderStatus.CONFIRMED, limit=1)
        seen["durations"].append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*map(one, members))
    return {**seen, "seconds": time.perf_counter() - began, "peak_megabytes": resident_megabytes(os.getpid(), peak=True)}


COMMANDS: Final[dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]]] = {"prepare": prepare, "converge": converge}


def main() -> None:
    arguments = msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, Any])
    members = [Member(**each) for each in arguments.pop("members")]
    os.write(1, msgspec.json.encode(asyncio.run(COMMANDS[sys.argv[1]](members=members, **arguments))))


if __name__ == "__main__":
    main()
