import pytest

from server.demo.cast import choose_cast
from server.demo.company import make_company
from sync_protocol.entities.catalog import ProductStatus
from sync_protocol.entities.customers import CustomerStatus


@pytest.mark.parametrize("seed", [1, 7, 2026])
def test_every_company_has_a_story_in_which_each_order_has_one_fate(seed: int) -> None:
    company = make_company(seed, 1_790_000_000_000)
    cast = choose_cast(company)
    scenes = (cast.plain, cast.repriced, cast.short, cast.held, cast.discontinued)
    assert len({scene.customer_code for scene in scenes}) == 5
    for scene in scenes:
        wanted = CustomerStatus.ON_HOLD if scene is cast.held else CustomerStatus.ACTIVE
        assert scene.account.customer.status is wanted
        assert scene.account.customer.review_above_minor is None
        assert all(article.product.status is ProductStatus.ACTIVE for article, _ in scene.articles)
    changing = {scene.changing.product.id for scene in (cast.repriced, cast.short, cast.discontinued)}
    elsewhere = [article.product.id for scene in (cast.plain, cast.held) for article, _ in scene.articles]
    assert len(changing) == 3
    assert not changing & {*elsewhere, cast.replacement.product.id}
