"""Finding things as the user types: what is found, what comes first, and that nothing typed can break it."""

from itertools import pairwise
from pathlib import Path
from uuid import UUID

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client_sdk import OrderClient, catalog
from client_sdk.errors import UnknownRowError
from client_sdk.replica import _upsert_sql
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.values import Row
from sync_protocol.wire.codec import stored_values

GOODS = (
    ("VLV-100", "Ball valve brass", "1/2 inch", "8712345678906"),
    ("VLV-1000", "Gate valve steel", None, None),
    ("VLV-200", "Crème brûlée torch", None, None),
    ("PMP-7", "Circulation pump", "230 V", "4006381333931"),
    ("PMP-70", "Pump housing for circulation pump", None, None),
    ("ÖL-1", "Öl für Straßenmaschinen", None, None),
    ("A_B%C", "100% cotton_cloth", None, None),
    ("OLD-1", "Ball valve, old pattern", None, None),
)
HOSTILE = [
    *('"', "'", "*", "**", '"*', '""', "(", ")", "((", "AND", "OR", "NOT", "NEAR", "NEAR(", "NEAR(a b, 2)", "a NEAR/2 b"),
    *(
        "sku:x",
        "{sku name}:x",
        "-x",
        "^x",
        "a+b",
        "\\",
        "%",
        "_",
        "%%%",
        "\0",
        "a\0b",
        "\u0301",
        "\u200d",
        "🙂",
        "1; DROP TABLE product",
    ),
    *("x" * 10_000, "x " * 5_000, '"' * 10_000, "é" * 10_000, "\u202e", "ﷺ", "\n\t\r", "' OR 1=1 --", ":a", "?1", "@x", "$y"),
]


@pytest.fixture
async def device(tmp_path: Path) -> OrderClient:
    client = await OrderClient.open(tmp_path / "device.db", inline=True)
    sold, old = ProductStatus.ACTIVE, ProductStatus.DISCONTINUED
    goods = [
        Product(
            id=UUID(int=place),
            sku=sku,
            name=name,
            description="",
            unit_id=UUID(int=99),
            status=old if sku.startswith("OLD") else sold,
            variant_label=variant,
            barcode=barcode,
        )
        for place, (sku, name, variant, barcode) in enumerate(GOODS, start=1)
    ]
    put(client, *goods)
    return client


def put(client: OrderClient, *rows: Row) -> None:
    def write(connection: apsw.Connection) -> None:
        for row in rows:
            synced = BY_ROW[type(row)]
            connection.execute(_upsert_sql(synced, synced.name), (1, 0, *stored_values(row)))

    client._store.write_now(write)


async def found(device: OrderClient, text: str, limit: int = 20) -> list[str]:
    return [product.sku for product in await device.search(text, limit=limit)]


async def test_every_letter_typed_narrows_the_list(device: OrderClient) -> None:
    shown = [set(await found(device, "circulation"[:letters])) for letters in range(1, 12)]
    assert shown[-1] == {"PMP-7", "PMP-70"}
    for before, after in pairwise(shown):
        assert after <= before


async def test_a_sku_is_found_by_its_beginning_and_the_exact_one_comes_first(device: OrderClient) -> None:
    assert await found(device, "VLV-100") == ["VLV-100", "VLV-1000"]
    assert set(await found(device, "VLV-1")) == {"VLV-100", "VLV-1000"}
    assert set(await found(device, "vlv")) == {"VLV-100", "VLV-1000", "VLV-200"}


async def test_words_are_found_by_their_beginnings_in_any_order_across_fields(device: OrderClient) -> None:
    assert await found(device, "val bal") == ["VLV-100", "OLD-1"], "what is sold comes before what is not"
    assert await found(device, "brass inch") == ["VLV-100"]
    assert await found(device, "circ 230") == ["PMP-7"]
    assert await found(device, "valve pump") == []
    assert await found(device, "alve") == [], "the middle of a word is not its beginning"


async def test_diacritics_and_case_do_not_matter(device: OrderClient) -> None:
    for text in ("creme brulee", "CRÈME", "cre\u0300me", "Brûl"):
        assert await found(device, text) == ["VLV-200"]
    assert await found(device, "ol fur") == ["ÖL-1"]
    assert await found(device, "Straßen") == ["ÖL-1"]


async def test_a_barcode_finds_its_product(device: OrderClient) -> None:
    assert await found(device, "8712345678906") == ["VLV-100"]
    assert await found(device, "87123") == ["VLV-100"]
    assert (await device.product("4006381333931")).sku == "PMP-7"
    assert (await device.product(" VLV-200 ")).sku == "VLV-200"
    with pytest.raises(UnknownRowError):
        await device.product("VLV")


async def test_a_percent_sign_and_an_underscore_are_letters_like_others(device: OrderClient) -> None:
    assert await found(device, "A_B%C") == ["A_B%C"]
    assert await found(device, "%otton") == []


async def test_no_text_lists_the_catalogue_by_sku(device: OrderClient) -> None:
    assert await found(device, "  ") == sorted(sku for sku, *_ in GOODS)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_nothing_that_is_typed_breaks_the_search(device: OrderClient, text: str) -> None:
    await device.search(text)
    await device.customers(text)
    with pytest.raises(UnknownRowError):
        await device.product(text)


async def test_any_text_at_all_can_be_searched(device: OrderClient) -> None:
    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(text=st.text(st.characters(codec="utf-8"), max_size=30))
    def search(text: str) -> None:

        device._store.read_now(catalog.search, text, 20)
        device._store.read_now(catalog.customers, text, 20)

    search()


@pytest.mark.parametrize("text", ["\ud800", "valve \udfff"])
async def test_half_a_character_breaks_nothing_either(device: OrderClient, text: str) -> None:
    await device.search(text)
    await device.customers(text)


async def test_a_limit_is_kept_and_has_an_upper_limit_itself(device: OrderClient) -> None:
    assert len(await found(device, "", limit=3)) == 3
    assert len(await found(device, "v", limit=1)) == 1
    assert await found(device, "v", limit=0) == []
    firm = Customer(id=UUID(int=1_000), code="C", name="Firm", status=CustomerStatus.ACTIVE)
    put(device, *(msgspec.structs.replace(firm, id=UUID(int=1_000 + number), name=f"Firm {number:04}") for number in range(600)))
    assert len(await device.customers("firm", limit=10**9)) == 500
    assert len(await device.customers("firm")) == 50


async def test_a_negative_limit_is_not_no_limit(device: OrderClient) -> None:
    assert await found(device, "", limit=-1) == []


async def test_customers_are_found_by_a_part_of_their_name_or_code(device: OrderClient) -> None:
    for number, (code, name) in enumerate([("K-1", "Bakkerij Zon"), ("K-2", "De Zonnebloem"), ("Z-9", "Maan & Co")]):
        put(device, Customer(id=UUID(int=50 + number), code=code, name=name, status=CustomerStatus.ACTIVE))
    assert [each.code for each in await device.customers("zon")] == ["K-1", "K-2"]
    assert [each.code for each in await device.customers("K-")] == ["K-1", "K-2"]
    assert (await device.customer("Z-9")).name == "Maan & Co"
    with pytest.raises(UnknownRowError):
        await device.customer("Z")


async def test_the_index_follows_a_product_that_is_renamed_or_removed(device: OrderClient) -> None:
    change = device._store.writer.execute
    change("UPDATE product SET name = 'Sluice' WHERE sku = 'VLV-1000'")
    assert await found(device, "gate") == []
    assert await found(device, "sluice") == ["VLV-1000"]
    change("DELETE FROM product WHERE sku = 'VLV-1000'")
    assert await found(device, "sluice") == []
