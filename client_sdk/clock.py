"""Time and chance for a device, handed in everywhere else. This module alone may ask the machine for them."""

import asyncio
import secrets
import time
from typing import Protocol
from uuid import UUID

import msgspec

from sync_protocol.values import uuid7


class Clock(Protocol):
    """Tells the time in milliseconds since 1970-01-01 UTC, as wrong as the device's clock is."""

    def now_ms(self) -> int: ...


class SystemClock:
    """The device's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000  # noqa: TID251  # the one place that asks


class Timer(Protocol):
    """Measures and waits in seconds that never go back, whatever becomes of the clock on the wall."""

    def now_seconds(self) -> float: ...

    async def wait(self, seconds: float) -> None: ...


class SystemTimer:
    """The timer of the running event loop. Nothing else in this package waits for time to pass."""

    def now_seconds(self) -> float:
        return asyncio.get_running_loop().time()

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Chance(Protocol):
    """A source of random bits."""

    def getrandbits(self, bits: int, /) -> int: ...


class IdSource:
    """Makes UUIDv7 ids and tokens. Never from a counter: a restored device would make the same ones again."""

    def __init__(self, clock: Clock, chance: Chance | None = None) -> None:
        self._clock = clock
        self.chance = chance or secrets.SystemRandom()

    def new(self) -> UUID:
        return uuid7(self._clock.now_ms() % 2**48, self.chance.getrandbits(74))

    def token(self) -> bytes:
        """Sixteen random bytes."""
        return self.chance.getrandbits(128).to_bytes(16, "big")


class Surroundings(msgspec.Struct, frozen=True):
    """What a device stands in: its clock, its ids, the IANA zone that its business date is told in, and its timer."""

    clock: Clock
    ids: IdSource
    time_zone: str = "UTC"
    timer: Timer = SystemTimer()
