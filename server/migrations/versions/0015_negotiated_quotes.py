"""Prices that are negotiated: quotes with their lines and rounds."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "negotiated_quote",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("requested_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("rep_id", Identifier(), nullable=True),
        sa.Column("address_id", Identifier(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("order_id", Identifier(), nullable=True),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_negotiated_quote_address_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_negotiated_quote_customer_id")),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_negotiated_quote_order_id")),
        sa.ForeignKeyConstraint(["rep_id"], ["rep.id"], name=op.f("fk_negotiated_quote_rep_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_negotiated_quote")),
        sa.UniqueConstraint("number", name=op.f("uq_negotiated_quote_number")),
    )
    for name, columns in {
        "recent": ["requested_at_ms", "id"],
        "status_recent": ["status", "requested_at_ms", "id"],
        "customer_recent": ["customer_id", "requested_at_ms", "id"],
        "status_valid": ["status", "valid_until_ms"],
        "order_id": ["order_id"],
    }.items():
        op.create_index(op.f(f"ix_negotiated_quote_{name}"), "negotiated_quote", columns, unique=False)
    _lines()
    _rounds()


def _lines() -> None:
    op.create_table(
        "negotiated_quote_line",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("quote_id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("line_number", sa.BigInteger(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("per_quantity", sa.BigInteger(), nullable=False),
        sa.Column("list_unit_price", sa.BigInteger(), nullable=True),
        sa.Column("wanted_unit_price", sa.BigInteger(), nullable=True),
        sa.Column("offered_unit_price", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_negotiated_quote_line_customer_id")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_negotiated_quote_line_product_id")),
        sa.ForeignKeyConstraint(["quote_id"], ["negotiated_quote.id"], name=op.f("fk_negotiated_quote_line_quote_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_negotiated_quote_line")),
    )
    op.create_index(op.f("ix_negotiated_quote_line_quote_id"), "negotiated_quote_line", ["quote_id"], unique=False)


def _rounds() -> None:
    op.create_table(
        "negotiated_quote_round",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("quote_id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("taken_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("taken_by", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_negotiated_quote_round_customer_id")),
        sa.ForeignKeyConstraint(["quote_id"], ["negotiated_quote.id"], name=op.f("fk_negotiated_quote_round_quote_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_negotiated_quote_round")),
    )
    op.create_index(op.f("ix_negotiated_quote_round_quote_id"), "negotiated_quote_round", ["quote_id"], unique=False)


def downgrade() -> None:
    for table in ("negotiated_quote_round", "negotiated_quote_line", "negotiated_quote"):
        op.drop_table(table)
