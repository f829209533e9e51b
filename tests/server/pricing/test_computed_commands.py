"""`roadbook price materialise` computes what is due and says what it wrote."""

import asyncio
import json
from uuid import UUID

from click.testing import CliRunner, Result

from server.__main__ import main
from server.pricing.computed_lists import Definition, Source, put_computed_list
from server.pricing.computed_prices import PriceRule
from tests.support.databases import open_database
from tests.support.world import World


def materialise(database_url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ("price", "materialise", *words), env={"ROADBOOK_DATABASE_URL": database_url})


async def found(database_url: str) -> UUID:
    """A company whose second list is computed of the first."""
    database = open_database(database_url)
    world = await World.found(database)
    base, other = (each.id for each in world.company.price_lists)
    async with world.database.write() as session:
        rules = (PriceRule(adjustment_basis_points=1_000),)
        await put_computed_list(session, other, Definition(source=Source.LIST, base_list_id=base, rules=rules))
    await database.close()
    return other


def test_the_command_computes_what_is_due_and_says_so(database_url: str) -> None:
    list_id = asyncio.run(found(database_url))
    first = materialise(database_url, "--json")
    assert first.exit_code == 0, first.output
    said = json.loads(first.output)
    assert [(each["price_list_id"], each["counts"]["changed"]) for each in said["lists"]] == [(str(list_id), 12)]
    materialise(database_url)
    assert json.loads(materialise(database_url, "--json").output) == {"lists": [], "floors": None}
    shown = materialise(database_url, "--every")
    assert (shown.exit_code, str(list_id) in shown.output) == (0, True)
    assert "floors: 0 made, 0 changed, 0 removed, 0 unchanged" in shown.output
