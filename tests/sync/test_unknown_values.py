"""A server of the same protocol version that knows more values of an enumeration than the app: the app keeps syncing."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from client_sdk import OrderClient, is_known
from client_sdk.catalog import OrderView
from client_sdk.cli_screen import Screen
from client_sdk.errors import OrderStateError
from server.runtime.database import Database
from sync_protocol.checksums import row_checksum
from sync_protocol.entities import BY_NAME
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import Order, OrderStatus
from sync_protocol.verdicts import UNKNOWN_REMEDY, Code, Outcome, Verdict
from sync_protocol.wire.codec import WireError, decode_verdict, encode
from sync_protocol.wire.messages import PushReply, PushRequest
from tests.support.faults import FaultyEndpoint
from tests.support.world import World

RELEASED = b"\xaepayment_waived"


class NewerVerdicts(FaultyEndpoint):
    """A server whose verdicts have a code that the app does not know, where ours says `price_changed`."""

    async def push(self, request: PushRequest) -> PushReply:
        reply = await super().push(request)
        results = tuple(
            msgspec.structs.replace(each, verdict=each.verdict.replace(b"\xadprice_changed", RELEASED)) for each in reply.results
        )
        return msgspec.structs.replace(reply, results=results)


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def device(world: World, tmp_path: Path) -> AsyncIterator[OrderClient]:
    client = await world.enrolled_device(
        "rep0", tmp_path / "device.db", wrap=lambda inner: NewerVerdicts(inner, [], random.Random(1), [])
    )
    await client.sync()
    yield client
    await client.close()


async def order(device: OrderClient, world: World) -> OrderView:
    draft = await device.draft_order(world.company.customers[0].id)
    await draft.add_line(world.company.products[0].id, quantity=2)
    return await draft.submit()


async def test_an_unknown_status_is_stored_as_it_came_and_shown_as_unknown(world: World, device: OrderClient) -> None:
    product = world.company.products[0]
    await world.change(Product, product.id, status="seasonal_only")
    await device.sync()
    shown = await device.product(product.id)
    assert (shown.status, shown.status.name, is_known(shown.status)) == ("seasonal_only", "UNKNOWN", False)
    assert isinstance(shown.status, ProductStatus)
    assert shown.status not in set(ProductStatus)
    assert encode(shown.status) == encode("seasonal_only"), "it goes on as it came"
    ((*stored, checksum),) = device._store.reader.execute(
        f"SELECT {', '.join(Product.__struct_fields__)}, checksum FROM product WHERE id = ?", (product.id.bytes,)
    )
    assert (stored[Product.__struct_fields__.index("status")], row_checksum(BY_NAME["product"], stored)) == (
        "seasonal_only",
        checksum,
    )
    await world.change(Product, product.id, status="active")
    await device.sync()
    assert (await device.product(product.id)).status is ProductStatus.ACTIVE


async def test_an_order_may_be_taken_of_what_has_an_unknown_status_and_the_server_decides(
    world: World, device: OrderClient
) -> None:
    customer = world.company.customers[0]
    await world.change(Customer, customer.id, status="watched")
    await device.sync()
    shown = await device.customer(customer.id)
    assert (isinstance(shown, Customer), is_known(shown.status)) == (True, False)
    await order(device, world)
    assert len(await device.outbox()) == 1


async def test_an_order_in_an_unknown_state_is_shown_and_not_changed_by_an_app_that_does_not_know_it(
    world: World, device: OrderClient, capsys: pytest.CaptureFixture[str]
) -> None:
    order_id = (await order(device, world)).order.id
    await device.sync()
    await world.change(Order, order_id, status="in_delivery")
    await device.sync()
    view = await device.order(order_id)
    assert (view.order.status, is_known(view.order.status)) == ("in_delivery", False)
    Screen(as_json=False).orders([view], {})
    Screen(as_json=False).order(view, "A customer", {})
    assert capsys.readouterr().out.count("in delivery") == 2
    with pytest.raises(OrderStateError, match="in_delivery, which this app is too old to know: update it"):
        await device.cancel_order(view.order.id)
    with pytest.raises(OrderStateError, match="too old"):
        await device.amend_order(view.order.id, [(world.company.products[0].id, 1)])
    assert await device.outbox() == []


async def test_a_verdict_with_an_unknown_code_is_taken_home(world: World, device: OrderClient) -> None:
    entry = world.company.entries[0]
    submitted = await order(device, world)
    await world.change(type(entry), entry.id, unit_price=entry.unit_price + 100)
    (home,) = (await device.sync()).verdicts
    (code,) = home.verdict.codes
    assert (home.subject_id, home.verdict.outcome) == (submitted.order.id, Outcome.ACCEPTED_WITH_CHANGES)
    assert (code, code.name, isinstance(code, Code), is_known(code)) == ("payment_waived", "UNKNOWN", True, False)
    assert [change.code for change in home.verdict.changes] == [code]
    assert home.verdict.remedies() == (UNKNOWN_REMEDY,)
    assert (await device.journal())[0].verdict == home.verdict, "also when it is read again"
    assert await device.outbox() == []


@pytest.mark.parametrize(
    "broken", [{"outcome": "postponed"}, {"codes": ["no code!"]}, {"codes": [7]}, {"changes": [[]]}, {"intent_id": b"no"}]
)
def test_what_a_verdict_cannot_do_without_is_refused_beside_an_unknown_code(broken: dict[str, object]) -> None:
    whole = Verdict(intent_id=UUID(int=1), outcome=Outcome.HELD, decided_at_ms=1, codes=(Code.BACKORDERED,))
    newer_one = {**msgspec.msgpack.decode(encode(whole)), "codes": ["payment_waived"]}
    assert decode_verdict(encode(newer_one)).codes[0].name == "UNKNOWN"
    with pytest.raises(WireError):
        decode_verdict(encode({**newer_one, **broken}))


def test_a_known_value_is_its_member() -> None:
    assert all(is_known(status) and status.name != "UNKNOWN" for status in OrderStatus)
