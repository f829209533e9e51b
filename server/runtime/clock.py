"""Time, chance and ids, handed in everywhere else. This module alone may ask the machine for them."""

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
    """Makes UUIDv7 ids and secrets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self) -> UUID:
        return uuid7(self._clock.now_ms(), secrets.randbits(74))

    def token(self) -> bytes:
        """Sixteen random bytes."""
        return secrets.token_bytes(16)

    def secret(self) -> str:
        """A secret of 256 bits, as URL-safe text."""
        return secrets.token_urlsafe(32)
