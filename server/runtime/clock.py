"""Time, chance and ids, handed in everywhere else. This module alone may ask the machine for them."""

import base64
import random
import secrets
import time
from typing import Protocol
from uuid import UUID

from sync_protocol.values import uuid7


class Clock(Protocol):
    """Tells the time in milliseconds since 1970-01-01 UTC."""

    def now_ms(self) -> int: ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000  # noqa: TID251  # the one place that asks


class IdSource:
    """Makes UUIDv7 ids and secrets. `chance` replaces the machine's own, for runs that must repeat."""

    def __init__(self, clock: Clock, chance: random.Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or secrets.SystemRandom()

    def new(self) -> UUID:
        return uuid7(self._clock.now_ms(), self._chance.getrandbits(74))

    def token(self) -> bytes:
        """Sixteen random bytes."""
        return self._chance.randbytes(16)

    def secret(self) -> str:
        """A secret of 256 bits, as URL-safe text."""
        return base64.urlsafe_b64encode(self._chance.randbytes(32)).rstrip(b"=").decode()
