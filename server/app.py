"""The application: the only module that knows every slice."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from sqlalchemy.exc import SQLAlchemyError

import server.catalog.models
import server.integration.models
import server.inventory.models
import server.pricing.models
import server.pricing.promotion_models  # noqa: F401  # tables of slices that serve nothing, or that no route names
from server.changelog.jobs import JOBS as CHANGELOG_JOBS
from server.changelog.log import seal_before_commit
from server.customers.handover_execution import JOBS as CUSTOMER_JOBS
from server.customers.intents import create_customer
from server.customers.routes import ROUTES as CUSTOMER_ROUTES
from server.identity.authentication import Admissions, authorize, principal_of_request
from server.identity.principals import Principal
from server.identity.routes import ROUTES as IDENTITY_ROUTES
from server.orders.intents import amend_order, cancel_order, submit_order
from server.orders.quote_orders import ROUTES as QUOTE_ORDER_ROUTES
from server.orders.routes import ROUTES as ORDER_ROUTES
from server.pricing.materialising import JOBS as PRICING_JOBS
from server.pricing.routes import ROUTES as PRICING_ROUTES
from server.quotes.intents import accept_quote, counter_quote, request_quote, withdraw_quote
from server.quotes.jobs import JOBS as QUOTE_JOBS
from server.quotes.routes import ROUTES as QUOTE_ROUTES
from server.runtime.clock import Clock, IdSource, SystemClock
from server.runtime.database import Database, engine_url
from server.runtime.errors import ProblemError
from server.runtime.jobs import election_of, run_jobs
from server.runtime.slices import IntentHandler, JobContext, Slice
from server.runtime.termination import on_termination
from server.settings import Settings, settings_from_environment
from server.sync.image_routes import ROUTES as IMAGE_ROUTES
from server.sync.images.jobs import JOBS as IMAGE_JOBS
from server.sync.images.storage import ImageStorage, image_place
from server.sync.live import Hub
from server.sync.live_routes import ROUTES as LIVE_ROUTES
from server.sync.quarantine_routes import ROUTES as QUARANTINE_ROUTES
from server.sync.routes import ROUTES as SYNC_ROUTES
from server.web.problems import answer_database_error, answer_http_exception, answer_problem, answer_unexpected
from server.web.requests import BODY_BYTES_MAX, BodyDeadline, StrictRequest, add_headers
from server.web.routes import ROUTES as WEB_ROUTES
from server.web.routes import openapi_config
from sync_protocol.intents import (
    AcceptQuote,
    AmendOrder,
    CancelOrder,
    CounterQuote,
    CreateCustomer,
    Intent,
    RequestQuote,
    SubmitOrder,
    WithdrawQuote,
)

SLICES: Final = (
    Slice(name="changelog", jobs=CHANGELOG_JOBS),
    Slice(name="identity", routes=IDENTITY_ROUTES),
    Slice(name="customers", routes=CUSTOMER_ROUTES, intents={CreateCustomer: create_customer}, jobs=CUSTOMER_JOBS),
    Slice(
        name="orders",
        routes=(*ORDER_ROUTES, *QUOTE_ORDER_ROUTES),
        intents={SubmitOrder: submit_order, AmendOrder: amend_order, CancelOrder: cancel_order},
    ),
    Slice(name="pricing", routes=PRICING_ROUTES, jobs=PRICING_JOBS),
    Slice(
        name="quotes",
        routes=QUOTE_ROUTES,
        jobs=QUOTE_JOBS,
        intents={
            RequestQuote: request_quote,
            CounterQuote: counter_quote,
            AcceptQuote: accept_quote,
            WithdrawQuote: withdraw_quote,
        },
    ),
    Slice(name="sync", routes=(*SYNC_ROUTES, *LIVE_ROUTES, *IMAGE_ROUTES, *QUARANTINE_ROUTES), jobs=IMAGE_JOBS),
    Slice(name="web", routes=WEB_ROUTES),
)

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def app_from_environment() -> Litestar:
    """The application as `ROADBOOK_…` variables configure it; what the server process runs."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    app = create_app(settings_from_environment())
    _ = app.openapi_schema  # each query is checked against it: the first one, of an image's file for one, would wait for it
    return app


def create_app(settings: Settings, *, clock: Clock | None = None, database: Database | None = None) -> Litestar:
    """The application. A database that is handed in stays its owner's to close."""
    time = clock or SystemClock()
    return Litestar(
        route_handlers=[route for each in SLICES for route in each.routes],
        state=state_of(settings, time, database),
        lifespan=[_lifespan(settings, time)],
        dependencies={
            "database": Provide(_database, sync_to_thread=False),
            "now_ms": Provide(_now_ms, sync_to_thread=False),
            "ids": Provide(_ids, sync_to_thread=False),
            "settings": Provide(_settings, sync_to_thread=False),
            "principal": Provide(_principal, sync_to_thread=False),
        },
        guards=[authorize],
        middleware=[BodyDeadline()],
        request_class=StrictRequest,
        request_max_body_size=BODY_BYTES_MAX,
        exception_handlers={
            ProblemError: answer_problem,
            HTTPException: answer_http_exception,
            SQLAlchemyError: answer_database_error,
            Exception: answer_unexpected,
        },
        before_send=[add_headers],
        openapi_config=openapi_config(),
        logging_config=None,
        debug=False,
    )


def state_of(settings: Settings, clock: Clock, database: Database | None) -> State:
    """All that an application knows beside its code; the lifespan fills in a database that was not handed in, and the hub."""
    return State(
        {
            "settings": settings,
            "clock": clock,
            "ids": IdSource(clock),
            "admissions": Admissions(),
            "intent_handlers": intent_handlers(),
            "database": database,
            "hub": None,
            "images": ImageStorage(
                image_place(settings.images_url, database.url if database else engine_url(settings.database_url))
            ),
        }
    )


def intent_handlers() -> dict[type[Intent], IntentHandler]:
    """Who decides each intent."""
    return {intent: handler for each in SLICES for intent, handler in each.intents.items()}


def _lifespan(settings: Settings, clock: Clock) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        """Open the database in the loop that serves, run the jobs, and close both in turn."""
        handed_in = app.state.database is not None
        if not handed_in:
            app.state.database = Database(settings.database_url, before_commit=seal_before_commit, pool_size=settings.pool_size)
        jobs = asyncio.create_task(_run_jobs(app.state.database, settings, clock))
        app.state.hub = hub = Hub(app.state.database)
        try:
            async with hub.running():
                with on_termination(hub.close):
                    yield
        finally:
            try:
                jobs.cancel()
                with suppress(asyncio.CancelledError):
                    await jobs
            finally:
                if not handed_in:
                    await app.state.database.close()
                    app.state.database = None

    return lifespan


async def _run_jobs(database: Database, settings: Settings, clock: Clock) -> None:
    jobs = [job for each in SLICES for job in each.jobs]
    context = JobContext(database=database, clock=clock, retention_days=settings.retention_days, settings=settings)
    if settings.jobs:
        await run_jobs(jobs, context, election_of(database))


def _database(state: State) -> Database:
    database = state.database
    assert isinstance(database, Database), "the application is not started: its lifespan opens the database"
    return database


def _now_ms(state: State) -> int:
    """The instant of the request: one for all that it does."""
    clock: Clock = state.clock
    return clock.now_ms()


def _ids(state: State) -> IdSource:
    ids: IdSource = state.ids
    return ids


def _settings(state: State) -> Settings:
    settings: Settings = state.settings
    return settings


def _principal(request: Request[Any, Any, Any]) -> Principal:
    return principal_of_request(request)
