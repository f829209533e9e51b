from pathlib import Path

from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.catalog import Product, ProductStatus
from tests.support.world import World, make_id


async def test_rows_of_the_largest_size_still_fit_into_frames_and_pages(database: Database, tmp_path: Path) -> None:
    world = await World.found(database)
    unit = world.company.unit.id
    wide = [
        Product(
            id=make_id(1_000_000 + n),
            sku=f"WIDE-{n}",
            name="幅" * 200,
            description="広" * 4_000,
            unit_id=unit,
            status=ProductStatus.ACTIVE,
        )
        for n in range(2_500)
    ]
    async with database.write() as session:
        await insert_rows(session, wide)
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        assert (await device.status()).products == 2_500 + len(world.company.products)
