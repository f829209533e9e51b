"""The real application over a test's own database, without a network and not started: its lifespan does not run.

Routes are read from our functions once for all tests of a process, which takes 60 ms; what an application knows is in its
state, and each has one of its own.
"""

import copy
from functools import cache

from litestar import Litestar

from server.app import create_app, state_of
from server.runtime.clock import Clock
from server.runtime.database import Database
from server.settings import Settings


@cache
def _routed() -> Litestar:
    return create_app(Settings(jobs=False))


def application(database: Database, clock: Clock, *, images_url: str = "") -> Litestar:
    """One over this database, whose images are at `images_url` or beside the database. Do not register routes in it."""
    app = copy.copy(_routed())
    app.state = state_of(Settings(jobs=False, images_url=images_url), clock, database)
    return app
