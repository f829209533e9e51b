"""What flows between a device and its server: how much at once, how many requests, and when there was progress last."""

import asyncio
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from client_sdk.clock import Timer
from client_sdk.errors import BadReplyError, LinkTooSlowError, ServerUnreachableError
from client_sdk.portions import Portion
from client_sdk.watchdog import Watchdog
from sync_protocol.wire.messages import BATCH_INTENTS_MAX

PAGE_ROWS_LEAST: Final = 200
SET_ASIDE_SECONDS: Final = 24 * 3_600.0
DROPPED: Final = "dropped"
"""What a fetch is cancelled with whose page is of no use any more: that says nothing of the link."""


class Flow:
    """Of one engine, for as long as its process lives: what it learned of the link is learned anew after a restart."""

    def __init__(self, timer: Timer, page_rows: int) -> None:
        self._timer = timer
        self._set_aside: dict[UUID, float] = {}
        self.intents = Portion(BATCH_INTENTS_MAX)
        self.rows = Portion(page_rows, least=PAGE_ROWS_LEAST)
        self.watchdog = Watchdog()
        self.requests = 0

    def moved(self) -> None:
        """Something was done for good."""
        self.watchdog.moved(self._timer.now_seconds())

    def came(self, place: Hashable, amount: int) -> None:
        """So much of what is being fetched is here: bytes, or rows, from its beginning."""
        self.watchdog.came(place, amount, self._timer.now_seconds())

    @contextmanager
    def pulling(self, place: Hashable) -> Iterator[Callable[[int], None]]:
        """Around one page; it is told how many bytes of it have come. A page that was too much for the link is halved."""
        self.requests += 1
        bytes_here = 0

        def hear(size: int) -> None:
            nonlocal bytes_here
            bytes_here = size
            self.came(place, size)

        try:
            yield hear
        except (LinkTooSlowError, asyncio.CancelledError) as error:
            if error.args != (DROPPED,):
                self.rows.halve()
            raise
        except (ServerUnreachableError, BadReplyError):
            if bytes_here:  # it broke in the middle: a smaller one may come through
                self.rows.halve()
            raise
        self.rows.grow()

    @contextmanager
    def pushing(self, intents: int) -> Iterator[None]:
        """Around one push. One that was too much for the link is halved."""
        self.requests += 1
        try:
            yield
        except (LinkTooSlowError, asyncio.CancelledError):
            self.intents.halve(intents)
            raise
        self.intents.grow()

    def set_aside(self, intent_id: UUID) -> None:
        """Do not send this one for a day: alone it is too large, and all the others were not the reason."""
        self._set_aside[intent_id] = self._timer.now_seconds() + SET_ASIDE_SECONDS
        self.intents.reset()

    def aside(self) -> Collection[UUID]:
        """What is set aside now."""
        now_seconds = self._timer.now_seconds()
        self._set_aside = {intent_id: until for intent_id, until in self._set_aside.items() if until > now_seconds}
        return self._set_aside.keys()
