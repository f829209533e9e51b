"""What a pull will ask for behind an image, fetched while the image is still being put in its place.

From where the pull will go on is known as soon as the image is chosen. It is told of another scope there, nearly always: what
is private is in no image. So the page behind that is fetched, too. What turns out to be asked from elsewhere is dropped.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from client_sdk.flow import DROPPED
from client_sdk.pages import Page
from client_sdk.replica import scoped
from client_sdk.state import Staging


class ForeseenPages:
    """Of one device. `fetch` asks for the page at the place where a staging stands."""

    def __init__(self, fetch: Callable[[Staging], Awaitable[Page]]) -> None:
        self._fetch = fetch
        self._coming = deque[tuple[Staging, asyncio.Task[Page]]]()
        self._dropped: list[asyncio.Task[Page]] = []

    def foresee(self, staging: Staging, buckets: frozenset[str]) -> None:
        """Fetch what a pull asks for from here that knows of a scope of these buckets, unless that is under way."""
        if not self._coming or self._coming[0][0] != staging:
            self._let_go()
            self._begin(staging, buckets)

    async def next(self, staging: Staging) -> Page | None:
        """The page that was foreseen to be asked for from here; None where none was. Raises what fetching it raised."""
        if not self._coming:
            return None
        foreseen, task = self._coming[0]
        if foreseen != staging:
            self._let_go()
            return None
        page = await task
        self._coming.popleft()
        return page

    async def drop(self) -> None:
        """What is under way is of no use any more, its failure neither."""
        self._let_go()
        dropped, self._dropped = self._dropped, []
        await asyncio.gather(*dropped, return_exceptions=True)

    def _let_go(self) -> None:
        for _, task in self._coming:
            task.cancel(DROPPED)
            self._dropped.append(task)
        self._coming.clear()

    def _begin(self, staging: Staging, buckets: frozenset[str] | None) -> None:
        self._coming.append((staging, asyncio.create_task(self._fetch_from(staging, buckets))))

    async def _fetch_from(self, staging: Staging, buckets: frozenset[str] | None) -> Page:
        """The page, and the one behind it where it tells the first scope; `buckets` is None where it was told."""
        page = await self._fetch(staging)
        if page.scope is not None and page.header.resync is None and buckets is not None:
            self._begin(scoped(staging, buckets, page.scope), None)
        return page
