"""What a slice hands to the application: its name, its routes, its intent handlers and its jobs."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from server.runtime.clock import Clock, IdSource
from server.runtime.database import Database
from server.runtime.unit_of_work import UnitOfWork
from server.settings import Settings
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import Channel
from sync_protocol.intents import Intent
from sync_protocol.verdicts import Code, Outcome, Verdict

BODY_SECONDS_KEY: Final = "body_seconds"
"""In a route's `opt`: for how long its body may be under way, where that is not the application's default."""


class IntentContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, when, and with what at hand. `territory_ids` are those of the rep, `customer_id` the buyer's company.

    `number_prefix` is that of the asking device. `captured_at_ms` is by the device's clock, `clock_skew_ms` how far that was
    ahead of ours at its last checkpoint, `decided_at_cursor` the checkpoint that its user saw.
    """

    intent_id: UUID
    captured_at_ms: int
    time_zone: str
    now_ms: int
    ids: IdSource
    user_id: UUID
    role: str
    number_prefix: str
    clock_skew_ms: int | None = None
    decided_at_cursor: int = 0
    rep_id: UUID | None = None
    customer_id: UUID | None = None
    territory_ids: frozenset[UUID] = frozenset()
    is_online: bool = False

    @property
    def channel(self) -> Channel:
        """Through which channel it is asked: a rep's, wherever it asks; a buyer's device; or the API."""
        if self.rep_id is not None:
            return Channel.REP
        return Channel.ONLINE if self.is_online else Channel.BUYER

    @property
    def holder_id(self) -> UUID:
        """Whose number series it is: the rep's, or the user's who is none."""
        return self.rep_id or self.user_id

    def may_serve(self, customer: Customer) -> bool:
        """Whether the customer is in the asker's scope."""
        return customer.id == self.customer_id or (self.rep_id is not None and customer.territory_id in self.territory_ids)

    def rejected(self, code: Code, detail: str = "") -> Verdict:
        """A rejection of the intent."""
        return Verdict(
            intent_id=self.intent_id,
            outcome=Outcome.REJECTED,
            decided_at_ms=self.now_ms,
            codes=(code,),
            detail=detail,
        )


IntentHandler = Callable[[UnitOfWork, Any, IntentContext], Awaitable[Verdict]]


class JobContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a job stands on."""

    database: Database
    clock: Clock
    retention_days: int
    settings: Settings = Settings()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the installation does by itself, on one process at a time, every so many seconds."""

    name: str
    interval_seconds: int
    run: Callable[[JobContext], Awaitable[None]]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of the server, as `app` wires it."""

    name: str
    routes: tuple[Any, ...] = ()
    intents: Mapping[type[Intent], IntentHandler] = {}
    jobs: tuple[Job, ...] = ()
