"""Runs revisions on the connection that `migrate` hands over."""

from alembic import context

import server.app  # noqa: F401  # every slice's tables
from server.runtime.database import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
