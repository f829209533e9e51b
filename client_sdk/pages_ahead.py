"""The pages that follow one in its pass, fetched while that one is written: neither end waits for the other page by page.

What fails on the way is raised where its page would be next, behind all that came before it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from client_sdk.flow import DROPPED
from client_sdk.pages import Page
from client_sdk.state import Staging

WAITING_BYTES_MAX: Final = 24 * 1024 * 1024
"""While pages of so many bytes wait to be written no further one is asked for: what a server makes in the second in which the
catalogue gets its indexes.

In sum memory holds less than these, the page that was asked for last, and the one that is being written: with a server of ours,
which ends a page at 32 MiB and a chunk of one more, below 92 MiB; with any other two pages of `PAGE_BYTES_MAX`, 152 MiB.
"""


class PagesAhead:
    """Of one pull. `fetch` asks for the page at the place where a staging stands."""

    def __init__(self, fetch: Callable[[Staging], Awaitable[Page]]) -> None:
        self._fetch = fetch
        self._tasks = deque[asyncio.Task[Page]]()
        self._waiting_bytes = 0
        self._goes_on_at: Staging | None = None

    def follow(self, staging: Staging, page: Page) -> None:
        """Fetch what comes after a page that was asked for from `staging`, unless something is under way."""
        if not self._tasks:
            self._goes_on_at = _behind(staging, page)
            self._go_on()

    async def next(self) -> Page | None:
        """The page that comes next; None where none is under way. Raises what fetching it raised."""
        if not self._tasks:
            return None
        page = await self._tasks[0]
        self._tasks.popleft()
        self._waiting_bytes -= page.size
        self._go_on()
        return page

    async def drop(self) -> None:
        """What is under way is of no use any more, its failure neither."""
        self._goes_on_at = None
        dropped = list(self._tasks)
        self._tasks.clear()
        for task in dropped:
            task.cancel(DROPPED)
        await asyncio.gather(*dropped, return_exceptions=True)

    def _go_on(self) -> None:
        if self._goes_on_at is not None and self._waiting_bytes < WAITING_BYTES_MAX:
            staging, self._goes_on_at = self._goes_on_at, None
            self._tasks.append(asyncio.create_task(self._fetch_from(staging)))

    async def _fetch_from(self, staging: Staging) -> Page:
        page = await self._fetch(staging)
        self._waiting_bytes += page.size
        self._goes_on_at = _behind(staging, page)
        self._go_on()
        return page


def _behind(staging: Staging, page: Page) -> Staging | None:
    """The place behind a page in its pass; None where the pass ends, or goes on only after what the page says was obeyed."""
    if page.trailer.position is None or page.scope is not None or page.header.resync is not None:
        return None
    trailer = page.trailer
    return msgspec.structs.replace(staging, epoch=trailer.epoch, position=trailer.position, known=trailer.head or staging.known)
