"""A wire of our own between devices and servers: TCP connections that are held in one direction, cut, or refused.

Each line has a port of its own and goes to one of the servers. A partition is one-way: what one end sends is held while
the other direction still flows. When it heals, what was held arrives late, or the connection is gone.
"""

import asyncio
import random
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

PIECE_BYTES: Final = 16 * 1024


class LineState(StrEnum):
    """What a line does now."""

    OPEN = "open"
    UP_HELD = "up held"
    DOWN_HELD = "down held"
    REFUSED = "refused"


class Line:
    """One device's way to the servers."""

    def __init__(self, servers: Sequence[int], chance: random.Random) -> None:
        self.state = LineState.OPEN
        self._servers = servers
        self._chance = chance
        self._changed = asyncio.Event()
        self._generation = 0
        self._pipes: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def open(self) -> int:
        """Listen; returns the port."""
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return int(self._listener.sockets[0].getsockname()[1])

    def become(self, state: LineState, *, drops: bool = False) -> None:
        """Change the state; `drops` ends the connections that there are, with what they hold."""
        self.state = state
        self._generation += drops or state is LineState.REFUSED
        self._changed.set()
        self._changed = asyncio.Event()

    async def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for pipe in tuple(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._pipes.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state is LineState.REFUSED:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._chance.choice(self._servers))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer, LineState.UP_HELD, self._generation))
                group.create_task(self._pump(far_reader, writer, LineState.DOWN_HELD, self._generation))
        except ExceptionGroup as errors:
            raise OSError(str(errors)) from errors
        finally:
            for each in (writer, far_writer):
                each.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, held_in: LineState, generation: int) -> None:
        """Carry bytes in one direction; raises where the connection is to end."""
        while True:
            changed = self._changed
            reading = asyncio.ensure_future(source.read(PIECE_BYTES))
            waking = asyncio.ensure_future(changed.wait())
            try:
                await asyncio.wait((reading, waking), return_when=asyncio.FIRST_COMPLETED)
            finally:
                waking.cancel()
            if self._generation != generation:
                reading.cancel()
                raise ConnectionResetError("cut")
            if not reading.done():
                reading.cancel()
                continue
            piece = reading.result()
            if not piece:
                raise ConnectionResetError("ended")
            await self._hold(held_in, generation)
            target.write(piece)
            await target.drain()

    async def _hold(self, held_in: LineState, generation: int) -> None:
        while self.state is held_in:
            await self._changed.wait()
        if self._generation != generation:
            raise ConnectionResetError("cut")
