"""Lists that are computed by rules, what products cost, and the margins that floors are made of."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "product_cost",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("unit_cost", sa.BigInteger(), nullable=False),
        sa.Column("per_quantity", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_product_cost_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_cost")),
        sa.UniqueConstraint("product_id", "currency", "valid_from_ms", name="uq_product_cost_begin"),
    )
    op.create_index("ix_product_cost_valid_from_ms", "product_cost", ["valid_from_ms"], unique=False)
    op.create_table(
        "margin_rule",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("minimum_margin_basis_points", sa.BigInteger(), nullable=False),
        sa.Column("category_id", Identifier(), nullable=True),
        sa.Column("product_id", Identifier(), nullable=True),
        sa.ForeignKeyConstraint(["category_id"], ["category.id"], name=op.f("fk_margin_rule_category_id")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_margin_rule_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_margin_rule")),
    )
    op.create_table(
        "computed_list",
        sa.Column("price_list_id", Identifier(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("base_list_id", Identifier(), nullable=True),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("seen_seq", sa.BigInteger(), nullable=False),
        sa.Column("computed_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["base_list_id"], ["price_list.id"], name=op.f("fk_computed_list_base_list_id")),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_computed_list_price_list_id")),
        sa.PrimaryKeyConstraint("price_list_id", name=op.f("pk_computed_list")),
    )
    op.create_index("ix_computed_list_base_list_id", "computed_list", ["base_list_id"], unique=False)
    op.create_table(
        "price_rule",
        sa.Column("price_list_id", Identifier(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("category_id", Identifier(), nullable=True),
        sa.Column("product_id", Identifier(), nullable=True),
        sa.Column("adjustment_basis_points", sa.BigInteger(), nullable=False),
        sa.Column("adjustment_amount", sa.BigInteger(), nullable=False),
        sa.Column("step_minor", sa.BigInteger(), nullable=True),
        sa.Column("ending_minor", sa.BigInteger(), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["category_id"], ["category.id"], name=op.f("fk_price_rule_category_id")),
        sa.ForeignKeyConstraint(["price_list_id"], ["computed_list.price_list_id"], name=op.f("fk_price_rule_price_list_id")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_price_rule_product_id")),
        sa.PrimaryKeyConstraint("price_list_id", "number", name=op.f("pk_price_rule")),
    )
    op.create_table(
        "floor_computation",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("seen_seq", sa.BigInteger(), nullable=False),
        sa.Column("computed_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floor_computation")),
    )
    op.execute("INSERT INTO floor_computation (id, asked, done, seen_seq) VALUES (1, 1, 0, 0)")


def downgrade() -> None:
    for table in ("floor_computation", "price_rule", "computed_list", "margin_rule", "product_cost"):
        op.drop_table(table)
