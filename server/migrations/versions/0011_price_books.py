"""Price books: validity, segments, assignments, agreed prices, quantity rules, promotions, taxes and limits."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_MADE = (
    "promotion",
    "segment",
    "tax_rate",
    "discount_limit",
    "promotion_exclusion",
    "promotion_tier",
    "list_quantity_rule",
    "price_floor",
    "price_list_assignment",
    "product_quantity_rule",
    "promotion_audience",
    "promotion_target",
    "promotion_customer",
    "promotion_use",
    "segment_member",
    "tax_exemption",
    "agreed_price",
    "customer_price_list",
    "sales_order_promotion",
)
_ADDED = {
    "customer": ("tax_code",),
    "product": ("tax_code",),
    "price_list": (
        "tax_treatment",
        "valid_from_ms",
        "valid_until_ms",
        "strength",
        "minimum_quantity",
        "multiple_quantity",
        "pack_quantity",
        "order_minimum_minor",
    ),
    "sales_order": ("priced_at_ms",),
    "sales_order_line": (
        "per_quantity",
        "discount_minor",
        "order_discount_minor",
        "tax_minor",
        "tax_rate_ppm",
        "tax_code",
        "tax_jurisdiction",
        "price_source",
        "price_rule_id",
        "promotion_id",
        "quoted_unit_price",
        "quoted_amount_minor",
    ),
}
_BREAK = "uq_price_entry_break"
_OLD_BREAK = "uq_price_entry_product_id_price_list_id_min_quantity"


def upgrade() -> None:
    _drop_capture()
    _columns()
    _agreements()
    _promotions()
    _taxes()
    _order_promotions()
    _forget_sums()


def _columns() -> None:
    op.add_column("customer", sa.Column("tax_code", sa.Text(), server_default="standard", nullable=False))
    op.add_column("price_list", sa.Column("tax_treatment", sa.Text(), server_default="exclusive", nullable=False))
    op.add_column("price_list", sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("price_list", sa.Column("valid_until_ms", sa.BigInteger(), nullable=True))
    op.add_column("price_list", sa.Column("strength", sa.Text(), server_default="required", nullable=False))
    op.add_column("price_list", sa.Column("minimum_quantity", sa.BigInteger(), nullable=True))
    op.add_column("price_list", sa.Column("multiple_quantity", sa.BigInteger(), nullable=True))
    op.add_column("price_list", sa.Column("pack_quantity", sa.BigInteger(), nullable=True))
    op.add_column("price_list", sa.Column("order_minimum_minor", sa.BigInteger(), nullable=True))
    op.add_column("product", sa.Column("tax_code", sa.Text(), server_default="standard", nullable=False))
    op.add_column("sales_order", sa.Column("priced_at_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("sales_order_line", sa.Column("per_quantity", sa.BigInteger(), server_default="1", nullable=False))
    op.add_column("sales_order_line", sa.Column("discount_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("sales_order_line", sa.Column("order_discount_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("sales_order_line", sa.Column("tax_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("sales_order_line", sa.Column("tax_rate_ppm", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("sales_order_line", sa.Column("tax_code", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("sales_order_line", sa.Column("tax_jurisdiction", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("sales_order_line", sa.Column("price_source", sa.Text(), nullable=True))
    op.add_column("sales_order_line", sa.Column("price_rule_id", Identifier(), nullable=True))
    op.add_column("sales_order_line", sa.Column("promotion_id", Identifier(), nullable=True))
    op.add_column("sales_order_line", sa.Column("quoted_unit_price", sa.BigInteger(), nullable=True))
    op.add_column("sales_order_line", sa.Column("quoted_amount_minor", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("price_entry") as batch:
        batch.add_column(sa.Column("per_quantity", sa.BigInteger(), server_default="1", nullable=False))
        batch.add_column(sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False))
        batch.add_column(sa.Column("valid_until_ms", sa.BigInteger(), nullable=True))
        batch.drop_constraint(_OLD_BREAK, type_="unique")
        batch.create_unique_constraint(_BREAK, ["product_id", "price_list_id", "min_quantity", "per_quantity", "valid_from_ms"])


def _agreements() -> None:
    op.create_table(
        "segment",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment")),
        sa.UniqueConstraint("code", name=op.f("uq_segment_code")),
    )
    op.create_table(
        "discount_limit",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("discount_basis_points", sa.BigInteger(), nullable=False),
        sa.Column("rep_id", Identifier(), nullable=True),
        sa.ForeignKeyConstraint(["rep_id"], ["rep.id"], name=op.f("fk_discount_limit_rep_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discount_limit")),
    )
    op.create_table(
        "list_quantity_rule",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("price_list_id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("strength", sa.Text(), nullable=False),
        sa.Column("minimum_quantity", sa.BigInteger(), nullable=True),
        sa.Column("multiple_quantity", sa.BigInteger(), nullable=True),
        sa.Column("pack_quantity", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_list_quantity_rule_price_list_id")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_list_quantity_rule_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_list_quantity_rule")),
    )
    op.create_index("ix_list_quantity_rule_product", "list_quantity_rule", ["product_id", "price_list_id"], unique=False)
    op.create_table(
        "price_floor",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_price_floor_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_floor")),
    )
    op.create_index(op.f("ix_price_floor_product_id"), "price_floor", ["product_id"], unique=False)
    op.create_table(
        "price_list_assignment",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("price_list_id", Identifier(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("exclusivity", sa.Text(), nullable=False),
        sa.Column("segment_id", Identifier(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("territory_id", Identifier(), nullable=True),
        sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_price_list_assignment_price_list_id")),
        sa.ForeignKeyConstraint(["segment_id"], ["segment.id"], name=op.f("fk_price_list_assignment_segment_id")),
        sa.ForeignKeyConstraint(["territory_id"], ["territory.id"], name=op.f("fk_price_list_assignment_territory_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_list_assignment")),
    )
    op.create_index(op.f("ix_price_list_assignment_price_list_id"), "price_list_assignment", ["price_list_id"], unique=False)
    op.create_index(op.f("ix_price_list_assignment_segment_id"), "price_list_assignment", ["segment_id"], unique=False)
    op.create_table(
        "product_quantity_rule",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("strength", sa.Text(), nullable=False),
        sa.Column("minimum_quantity", sa.BigInteger(), nullable=True),
        sa.Column("multiple_quantity", sa.BigInteger(), nullable=True),
        sa.Column("pack_quantity", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_product_quantity_rule_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_quantity_rule")),
    )
    op.create_index(op.f("ix_product_quantity_rule_product_id"), "product_quantity_rule", ["product_id"], unique=False)
    op.create_table(
        "segment_member",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("segment_id", Identifier(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_segment_member_customer_id")),
        sa.ForeignKeyConstraint(["segment_id"], ["segment.id"], name=op.f("fk_segment_member_segment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment_member")),
    )
    op.create_index(op.f("ix_segment_member_customer_id"), "segment_member", ["customer_id"], unique=False)
    op.create_index(op.f("ix_segment_member_segment_id"), "segment_member", ["segment_id"], unique=False)
    op.create_table(
        "agreed_price",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("min_quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.Column("per_quantity", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("tax_treatment", sa.Text(), server_default="exclusive", nullable=False),
        sa.Column("address_id", Identifier(), nullable=True),
        sa.Column("remaining_quantity", sa.BigInteger(), nullable=True),
        sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_agreed_price_address_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_agreed_price_customer_id")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_agreed_price_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreed_price")),
    )
    op.create_index("ix_agreed_price_customer", "agreed_price", ["customer_id", "product_id"], unique=False)
    op.create_table(
        "customer_price_list",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("price_list_id", Identifier(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("exclusivity", sa.Text(), nullable=False),
        sa.Column("address_id", Identifier(), nullable=True),
        sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_customer_price_list_address_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_customer_price_list_customer_id")),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_customer_price_list_price_list_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer_price_list")),
    )
    op.create_index(op.f("ix_customer_price_list_customer_id"), "customer_price_list", ["customer_id"], unique=False)
    op.create_index(op.f("ix_customer_price_list_price_list_id"), "customer_price_list", ["price_list_id"], unique=False)


def _promotions() -> None:
    op.create_table(
        "promotion",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("stacking", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("reach", sa.Text(), nullable=False),
        sa.Column("exclusive_group", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("value_basis_points", sa.BigInteger(), nullable=True),
        sa.Column("value_unit_price", sa.BigInteger(), nullable=True),
        sa.Column("value_minor", sa.BigInteger(), nullable=True),
        sa.Column("buy_quantity", sa.BigInteger(), nullable=True),
        sa.Column("get_quantity", sa.BigInteger(), nullable=True),
        sa.Column("repeats_max", sa.BigInteger(), nullable=True),
        sa.Column("min_amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("cap_minor", sa.BigInteger(), nullable=True),
        sa.Column("budget_minor", sa.BigInteger(), nullable=True),
        sa.Column("spent_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("uses_per_customer", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion")),
        sa.UniqueConstraint("code", name=op.f("uq_promotion_code")),
    )
    op.create_table(
        "promotion_exclusion",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("promotion_id", Identifier(), nullable=False),
        sa.Column("other_id", Identifier(), nullable=False),
        sa.ForeignKeyConstraint(["other_id"], ["promotion.id"], name=op.f("fk_promotion_exclusion_other_id")),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name=op.f("fk_promotion_exclusion_promotion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_exclusion")),
    )
    op.create_index(op.f("ix_promotion_exclusion_other_id"), "promotion_exclusion", ["other_id"], unique=False)
    op.create_index(op.f("ix_promotion_exclusion_promotion_id"), "promotion_exclusion", ["promotion_id"], unique=False)
    op.create_table(
        "promotion_tier",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("promotion_id", Identifier(), nullable=False),
        sa.Column("value_basis_points", sa.BigInteger(), nullable=False),
        sa.Column("min_quantity", sa.BigInteger(), nullable=True),
        sa.Column("min_amount_minor", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name=op.f("fk_promotion_tier_promotion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_tier")),
    )
    op.create_index(op.f("ix_promotion_tier_promotion_id"), "promotion_tier", ["promotion_id"], unique=False)
    op.create_table(
        "promotion_audience",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("promotion_id", Identifier(), nullable=False),
        sa.Column("segment_id", Identifier(), nullable=True),
        sa.Column("territory_id", Identifier(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name=op.f("fk_promotion_audience_promotion_id")),
        sa.ForeignKeyConstraint(["segment_id"], ["segment.id"], name=op.f("fk_promotion_audience_segment_id")),
        sa.ForeignKeyConstraint(["territory_id"], ["territory.id"], name=op.f("fk_promotion_audience_territory_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_audience")),
    )
    op.create_index(op.f("ix_promotion_audience_promotion_id"), "promotion_audience", ["promotion_id"], unique=False)
    op.create_table(
        "promotion_target",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("promotion_id", Identifier(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=True),
        sa.Column("category_id", Identifier(), nullable=True),
        sa.Column("quantity", sa.BigInteger(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(["category_id"], ["category.id"], name=op.f("fk_promotion_target_category_id")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_promotion_target_product_id")),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name=op.f("fk_promotion_target_promotion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_target")),
    )
    op.create_index(op.f("ix_promotion_target_category_id"), "promotion_target", ["category_id"], unique=False)
    op.create_index(op.f("ix_promotion_target_product_id"), "promotion_target", ["product_id"], unique=False)
    op.create_index(op.f("ix_promotion_target_promotion_id"), "promotion_target", ["promotion_id"], unique=False)
    op.create_table(
        "promotion_customer",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("promotion_id", Identifier(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_promotion_customer_customer_id")),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name=op.f("fk_promotion_customer_promotion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_customer")),
    )
    op.create_index(op.f("ix_promotion_customer_customer_id"), "promotion_customer", ["customer_id"], unique=False)
    op.create_index(op.f("ix_promotion_customer_promotion_id"), "promotion_customer", ["promotion_id"], unique=False)
    op.create_table(
        "promotion_use",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("promotion_id", Identifier(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_promotion_use_customer_id")),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name=op.f("fk_promotion_use_promotion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_use")),
    )
    op.create_index(op.f("ix_promotion_use_customer_id"), "promotion_use", ["customer_id"], unique=False)
    op.create_index(op.f("ix_promotion_use_promotion_id"), "promotion_use", ["promotion_id"], unique=False)


def _taxes() -> None:
    op.create_table(
        "tax_rate",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("jurisdiction", sa.Text(), nullable=False),
        sa.Column("customer_tax_code", sa.Text(), nullable=False),
        sa.Column("product_tax_code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rate_ppm", sa.BigInteger(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_rate")),
    )
    op.create_index(op.f("ix_tax_rate_jurisdiction"), "tax_rate", ["jurisdiction"], unique=False)
    op.create_table(
        "tax_exemption",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("jurisdiction", sa.Text(), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_tax_exemption_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_exemption")),
    )
    op.create_index(op.f("ix_tax_exemption_customer_id"), "tax_exemption", ["customer_id"], unique=False)


def _order_promotions() -> None:
    op.create_table(
        "sales_order_promotion",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("order_id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("promotion_id", Identifier(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_sales_order_promotion_order_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_sales_order_promotion_customer_id")),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name=op.f("fk_sales_order_promotion_promotion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales_order_promotion")),
    )
    op.create_index(op.f("ix_sales_order_promotion_order_id"), "sales_order_promotion", ["order_id"], unique=False)


def _drop_capture() -> None:
    """On SQLite, triggers that name what is changed here would be in the way; capture is installed with the newest schema."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        found = sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'capture_%'")
        for name in connection.execute(found).scalars().all():
            op.execute(f"DROP TRIGGER {name}")


def _forget_sums() -> None:
    """Rows have more columns now, and so another checksum: they are found anew where the capture triggers are made."""
    op.execute("UPDATE change_log SET checksum = NULL")
    op.execute("DELETE FROM bucket_sum")


def _keep_prices_of_now() -> None:
    """The older schema has one price for a break and no windows: of each break the one that holds now stays.

    On PostgreSQL the capture of a newer schema, which is in the way here, is left out; devices repair what they hold besides.
    """
    if op.get_bind().dialect.name == "sqlite":
        now_ms = "CAST(strftime('%s', 'now') AS INTEGER) * 1000"
        statements = [f"DELETE FROM price_entry WHERE {_not_of(now_ms)}"]  # noqa: S608  # no input in it
    else:
        now_ms = "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)"
        statements = [
            "ALTER TABLE price_entry DISABLE TRIGGER USER",
            f"DELETE FROM price_entry WHERE {_not_of(now_ms)}",  # noqa: S608  # no input in it
            "ALTER TABLE price_entry ENABLE TRIGGER USER",
        ]
    for statement in statements:
        op.execute(statement)


def _not_of(now_ms: str) -> str:
    return f"per_quantity <> 1 OR valid_from_ms > {now_ms} OR valid_until_ms <= {now_ms}"


def downgrade() -> None:
    _drop_capture()
    for table in reversed(_MADE):
        op.drop_table(table)
    _keep_prices_of_now()
    with op.batch_alter_table("price_entry") as batch:
        batch.drop_constraint(_BREAK, type_="unique")
        for column in ("per_quantity", "valid_from_ms", "valid_until_ms"):
            batch.drop_column(column)
        batch.create_unique_constraint(_OLD_BREAK, ["product_id", "price_list_id", "min_quantity"])
    for table, columns in _ADDED.items():
        for column in columns:
            op.drop_column(table, column)
    _forget_sums()
