from collections import Counter
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from server.changelog.log import read_head
from server.customers.models import RepTerritoryModel
from server.demo.company import Company, make_company
from server.demo.load import PASSWORD, load_company
from server.demo.past_prices import price_list_order, resolve_price
from server.identity.credentials import verify_password
from server.identity.models import UserModel
from server.orders.models import OrderLineModel
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from sync_protocol.entities.catalog import ProductStatus
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.rules.pricing.amounts import gross_amount
from sync_protocol.values import minor_digits

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def company() -> Company:
    return make_company(7, NOW_MS)


def test_the_same_seed_on_the_same_day_makes_the_same_company(company: Company) -> None:
    later_that_day = make_company(7, NOW_MS // DAY_MS * DAY_MS + DAY_MS - 1)
    for (synced, rows), (_, again) in zip(company.rows(), later_that_day.rows(), strict=True):
        assert msgspec.msgpack.encode(rows) == msgspec.msgpack.encode(again), synced.name


def test_another_seed_makes_another_company(company: Company) -> None:
    other = make_company(8, NOW_MS)
    names = {account.customer.name for account in company.accounts.accounts}
    assert {account.customer.name for account in other.accounts.accounts} != names
    assert not {row.id for row in company.history.orders} & {row.id for row in other.history.orders}


def test_the_company_has_the_promised_size(company: Company) -> None:
    counts = {synced.name: len(rows) for synced, rows in company.rows()}
    assert len(company.catalogue.articles) >= 5_000
    assert (counts["price_list"], counts["customer"], counts["territory"], counts["rep"]) == (8, 600, 6, 8)
    assert counts["stock_location"] == 3
    assert counts["sales_order"] >= 10_000
    oldest, newest = company.history.orders[0], company.history.orders[-1]
    assert 700 * DAY_MS < newest.captured_at_ms - oldest.captured_at_ms <= 730 * DAY_MS


def test_every_reference_points_at_a_row(company: Company) -> None:
    rows_of = {synced.name: rows for synced, rows in company.rows()}
    ids = {name: {row.id for row in rows} for name, rows in rows_of.items()}
    targets = {"variant_of_id": "product", "parent_id": "category", "order_id": "sales_order", "price_rule_id": "price_entry"}
    for name, rows in rows_of.items():
        for field in rows[0].__struct_fields__:
            target = targets.get(field, field.removesuffix("_id"))
            if field == "id" or not field.endswith("_id"):
                continue
            missing = {getattr(row, field) for row in rows} - ids.get(target, set()) - {None}
            assert not missing, f"{name}.{field} points at rows that are not there"


def test_every_code_and_id_is_used_once(company: Company) -> None:
    for synced, rows in company.rows():
        for field in ("id", "code", "sku", "number"):
            if field in synced.row.__struct_fields__:
                assert len({getattr(row, field) for row in rows}) == len(rows), f"{synced.name}.{field}"


def test_every_row_is_within_the_limits_of_the_protocol(company: Company) -> None:
    for synced, rows in company.rows():
        msgspec.convert([msgspec.to_builtins(row) for row in rows[:2_000]], list[synced.row])


def test_every_article_is_a_variant_of_a_family_and_has_a_price_in_every_market(company: Company) -> None:
    families = {product.id: product for product in company.catalogue.products if product.variant_of_id is None}
    priced = {(entry.price_list_id, entry.product_id) for entry in company.catalogue.price_entries}
    defaults = {territory.price_list_id for territory in company.accounts.territories}
    assert len(defaults) == 4
    for article in company.catalogue.articles:
        assert article.product.variant_of_id in families
        assert article.product.variant_label
        assert all((price_list, article.product.id) in priced for price_list in defaults)


def test_a_deeper_break_is_never_dearer(company: Company) -> None:
    by_place: dict[tuple[UUID, UUID], list[tuple[int, int]]] = {}
    for entry in company.catalogue.price_entries:
        by_place.setdefault((entry.price_list_id, entry.product_id), []).append((entry.min_quantity, entry.unit_price))
    for breaks in by_place.values():
        prices = [unit_price for _, unit_price in sorted(breaks)]
        assert prices == sorted(prices, reverse=True)
        assert min(prices) > 0


def test_nobody_buys_in_two_currencies(company: Company) -> None:
    currencies = {price_list.id: price_list.currency for price_list in company.catalogue.price_lists}
    bought = {}
    for account in company.accounts.accounts:
        of_lists = {currencies[each] for each in price_list_order(account.customer, account.territory)}
        assert len(of_lists) == 1
        bought[account.customer.id] = of_lists.pop()
    assert all(order.currency == bought[order.customer_id] for order in company.history.orders)
    assert {order.currency for order in company.history.orders} == {"EUR", "GBP"}


def test_every_total_is_the_sum_of_its_lines_and_every_line_is_rounded_by_the_rules(company: Company) -> None:
    orders = {order.id: order for order in company.history.orders}
    sums: Counter[UUID] = Counter()
    for line in company.history.lines:
        order = orders[line.order_id]
        assert line.customer_id == order.customer_id
        assert line.amount_minor == gross_amount(line.unit_price, 1, line.quantity, minor_digits(order.currency))
        sums[order.id] += line.amount_minor
    assert set(sums) == set(orders)
    assert all(order.total_minor == order.subtotal_minor == sums[order.id] for order in orders.values())


def test_stock_that_is_promised_is_what_open_orders_were_promised(company: Company) -> None:
    orders = {order.id: order for order in company.history.orders}
    promised: Counter[tuple[UUID, UUID | None]] = Counter()
    for line in company.history.lines:
        order = orders[line.order_id]
        if order.status is OrderStatus.CONFIRMED:
            assert line.allocated + line.backordered == line.quantity
        else:
            assert line.allocated == line.backordered == 0
        promised[line.product_id, order.stock_location_id] += line.allocated
    for level in company.history.levels:
        assert 0 <= level.allocated == promised[level.product_id, level.stock_location_id] <= level.on_hand


def test_customers_reorder_and_the_seasons_show(company: Company) -> None:
    bought: Counter[tuple[UUID, UUID]] = Counter((line.customer_id, line.product_id) for line in company.history.lines)
    assert sum(times for times in bought.values() if times >= 3) > len(company.history.lines) // 2
    months = Counter((order.captured_at_ms // DAY_MS) * 400 % 146_097 * 12 // 146_097 for order in company.history.orders)
    assert months[10] > months[6] * 3 // 2


def test_some_customers_wait_for_a_manager(company: Company) -> None:
    statuses = Counter(account.customer.status.value for account in company.accounts.accounts)
    assert statuses["on_hold"] >= 6
    assert sum(account.customer.review_above_minor is not None for account in company.accounts.accounts) >= 30
    assert sum(product.status is ProductStatus.DISCONTINUED for product in company.catalogue.products) >= 20


def test_the_current_price_is_what_the_newest_orders_paid(company: Company) -> None:
    accounts = {account.customer.id: account for account in company.accounts.accounts}
    newest = {order.id: order for order in company.history.orders[-200:]}
    wanted = {line.product_id for line in company.history.lines if line.order_id in newest}
    entries = [entry for entry in company.catalogue.price_entries if entry.product_id in wanted]
    for line in company.history.lines:
        if line.order_id in newest:
            account = accounts[line.customer_id]
            of_product = (entry for entry in entries if entry.product_id == line.product_id)
            price = resolve_price(of_product, price_list_order(account.customer, account.territory), line.quantity)
            assert price is not None
            assert line.unit_price == price.unit_price


async def test_the_company_loads_whole_with_people_who_can_sign_in(database: Database, company: Company) -> None:
    count = await load_company(database, company, clock=SystemClock())
    async with database.read() as session:
        assert (await read_head(session)).head >= 1
        stored = 0
        for synced, rows in company.rows():
            found = (await session.execute(sa.text(f"SELECT count(*) FROM {synced.name}"))).scalar_one()
            assert found == len(rows), synced.name
            stored += found
        assert count == stored
        total = (await session.execute(sa.select(sa.func.sum(OrderLineModel.amount_minor)))).scalar_one()
        assert total == sum(order.total_minor for order in company.history.orders)
        assert (await session.execute(sa.select(sa.func.count()).select_from(RepTerritoryModel))).scalar_one() == 9
        users = {user.login: user for user in (await session.execute(sa.select(UserModel))).scalars()}
    assert Counter(user.role for user in users.values()) == {"manager": 1, "admin": 1, "rep": 8, "buyer": 1}
    assert await verify_password(users["femke"].password_hash, PASSWORD)
