"""What a rep does all day: takes orders, changes their mind, syncs. Runs as a task of a test or as a process that is killed.

One line a saved act goes into the acknowledgement file, forced to the disk, only after the SDK has returned: "the user
saw saved". What is in that file must never be lost.
"""

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import msgspec

from client_sdk import OrderClient
from client_sdk.errors import DraftClosedError, OrderStateError, RoadbookError
from sync_protocol.entities.customers import Customer

TIME_ZONE = "Europe/Amsterdam"
PAGE_ROWS = 60
LINES_MAX = 4
QUANTITY_MAX = 12


class Saved(msgspec.Struct, frozen=True):
    """An act that the user saw as saved: the kind of intent, the order and, of a new one, its number and lines."""

    kind: str
    order_id: UUID
    number: str = ""
    lines: int = 0
    total_minor: int = 0


class Acknowledgements:
    """The file of saved acts."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, saved: Saved) -> None:
        os.write(self._descriptor, msgspec.json.encode(saved) + b"\n")
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def read_acknowledgements(path: Path) -> list[Saved]:
    """What was saved; a line that a kill cut off was not shown."""
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [msgspec.json.decode(line, type=Saved) for line in whole.splitlines() if line]


class Day:
    """A rep's day with one device."""

    def __init__(self, device: OrderClient, acknowledgements: Acknowledgements, chance: random.Random) -> None:
        self._device = device
        self._acknowledgements = acknowledgements
        self._chance = chance
        self._mine: list[UUID] = []
        self.failures = 0

    async def go_on(self, *, until: Callable[[], bool]) -> None:
        """Take orders and sync until told to stop."""
        await self._finish_drafts()
        while not until():
            customers = await self._device.customers()
            for _ in range(self._chance.randint(1, 3) if customers else 0):
                await self._act(customers)
            await self._sync()

    async def _act(self, customers: Sequence[Customer]) -> None:
        if self._mine and self._chance.random() < 0.3:
            await self._change_mind(self._chance.choice(self._mine))
            return
        draft = await self._device.draft_order(self._chance.choice(customers).id)
        products = await self._device.search("", limit=50)
        for _ in range(self._chance.randint(1, LINES_MAX)):
            await draft.add_line(self._chance.choice(products).id, self._chance.randint(1, QUANTITY_MAX))
        await self._submit(draft.order_id)

    async def _submit(self, order_id: UUID) -> None:
        view = await (await self._device.draft(order_id)).submit()
        order = view.order
        self._acknowledgements.write(Saved("SubmitOrder", order.id, order.number, len(view.lines), order.total_minor))
        self._mine.append(order.id)

    async def _finish_drafts(self) -> None:
        """Drafts that a kill left behind are there, with every line that was added."""
        for view in await self._device.drafts():
            try:
                await (self._submit(view.order_id) if view.lines else (await self._device.draft(view.order_id)).discard())
            except DraftClosedError:
                continue

    async def _change_mind(self, order_id: UUID) -> None:
        try:
            if self._chance.random() < 0.5:
                await self._device.cancel_order(order_id)
                self._acknowledgements.write(Saved("CancelOrder", order_id))
            else:
                product = self._chance.choice(await self._device.search("", limit=50))
                await self._device.amend_order(order_id, [(product.id, self._chance.randint(1, QUANTITY_MAX))])
                self._acknowledgements.write(Saved("AmendOrder", order_id))
        except OrderStateError:
            self._mine.remove(order_id)

    async def _sync(self) -> None:
        try:
            await self._device.sync()
        except RoadbookError as error:
            if not error.retry:
                raise
            self.failures += 1
            await asyncio.sleep(self._chance.random() * 0.1)


def work(path: str, acknowledgements: str, seed: int) -> None:
    """The device process: a day that only a kill ends."""

    async def run() -> None:
        async with await OrderClient.open(path, time_zone=TIME_ZONE, page_rows=PAGE_ROWS) as device:
            await Day(device, Acknowledgements(Path(acknowledgements)), random.Random(seed)).go_on(until=lambda: False)

    asyncio.run(run())
