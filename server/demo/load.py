"""The demo company into a database, with the people who may sign in."""

from collections.abc import Iterator
from typing import Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from server.customers.models import RepTerritoryModel
from server.demo.company import Company
from server.identity.credentials import hash_password
from server.identity.principals import Role
from server.identity.service import create_user
from server.integration.bulk import upsert_rows
from server.runtime.clock import Clock, IdSource
from server.runtime.database import Database
from sync_protocol.entities.customers import CustomerStatus

PASSWORD: Final = "roadbook-demo"  # noqa: S105  # a demo's password is printed on purpose; it opens nothing else
"""Everybody's. It is hashed once, so all demo users share one salt: fine for a demo, and never done anywhere else."""


class Login(NamedTuple):
    """A person who may sign in to the demo."""

    login: str
    name: str
    role: Role
    rep_id: UUID | None = None
    customer_id: UUID | None = None


def logins(company: Company) -> Iterator[Login]:
    """A manager, an admin, every rep by first name, and a buyer of the first customer that can buy."""
    yield Login("manager", "Marieke van Lier", Role.MANAGER)
    yield Login("admin", "Joost Brouwer", Role.ADMIN)
    for rep in company.accounts.reps:
        yield Login(rep.name.split()[0].lower(), rep.name, Role.REP, rep_id=rep.id)
    buying = next(account for account in company.accounts.accounts if account.customer.status is CustomerStatus.ACTIVE)
    yield Login("buyer", buying.contacts[0].name, Role.BUYER, customer_id=buying.customer.id)


async def load_company(database: Database, company: Company, *, clock: Clock) -> int:
    """Write the company and its users in one transaction, into a migrated database without any, and return the rows."""
    password_hash = await hash_password(PASSWORD)
    ids, count = IdSource(clock), 0
    async with database.write() as session:
        for synced, rows in company.rows():
            count += (await upsert_rows(session, synced, rows)).inserted
        worked = [{"rep_id": rep_id, "territory_id": territory_id} for rep_id, territory_id in company.accounts.rep_territories]
        await session.execute(sa.insert(RepTerritoryModel), worked)
        for person in logins(company):
            await create_user(session, ids=ids, now_ms=clock.now_ms(), password_hash=password_hash, **person._asdict())
    return count
