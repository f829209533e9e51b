"""A timer whose seconds pass only while everybody waits: an hour of a device's life in a moment, in the same order each time."""

import asyncio
import heapq
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.support.world import ManualClock

T = TypeVar("T")

TURNS = 50
"""How often everybody else is let run before time passes: as long as somebody may have something to do."""

SECONDS_MAX = 30 * 24 * 3_600.0


class VirtualTimer:
    """A `Timer` for devices that run `inline`. What lives in real time, such as a server, is waited for inside `held`."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self._clock = clock
        self._holders = 0
        self._seconds = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_seconds(self) -> float:
        return self._seconds

    async def wait(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._seconds + max(0.0, seconds), self._count, woken))
        await woken

    @contextmanager
    def held(self) -> Iterator[None]:
        """No time passes in here."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    async def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end, and let time pass whenever it and all that it began only wait."""
        task = asyncio.ensure_future(main)
        try:
            while not task.done():
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                if self._holders or not self._sleepers:
                    await asyncio.sleep(0.001)  # in real time, which is what is waited for
                elif not task.done():
                    self._pass()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait((task,))

    def _pass(self) -> None:
        while self._sleepers:
            seconds, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            if self._clock is not None:
                self._clock.advance(round(seconds * 1000) - round(self._seconds * 1000))
            self._seconds = max(self._seconds, seconds)
            assert self._seconds < SECONDS_MAX, "time passes, and nothing comes to an end"
            woken.set_result(None)
            return
