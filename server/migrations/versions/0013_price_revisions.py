"""Changes of price lists that are prepared and published at an instant."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "price_revision",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("price_list_id", Identifier(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_by_id", Identifier(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("effective_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("published_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_price_revision_price_list_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_revision")),
    )
    op.create_index("ix_price_revision_list", "price_revision", ["price_list_id", "id"], unique=False)
    op.create_table(
        "price_revision_entry",
        sa.Column("revision_id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("min_quantity", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("per_quantity", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=True),
        sa.Column("entry_id", Identifier(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("former_id", Identifier(), nullable=True),
        sa.Column("former_unit_price", sa.BigInteger(), nullable=True),
        sa.Column("former_until_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_price_revision_entry_product_id")),
        sa.ForeignKeyConstraint(["revision_id"], ["price_revision.id"], name=op.f("fk_price_revision_entry_revision_id")),
        sa.PrimaryKeyConstraint("revision_id", "product_id", "min_quantity", "per_quantity", name=op.f("pk_price_revision_entry")),
    )
    op.create_table(
        "price_revision_event",
        sa.Column("revision_id", Identifier(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("user_id", Identifier(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("effective_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("entries", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["revision_id"], ["price_revision.id"], name=op.f("fk_price_revision_event_revision_id")),
        sa.PrimaryKeyConstraint("revision_id", "number", name=op.f("pk_price_revision_event")),
    )


def downgrade() -> None:
    for table in ("price_revision_event", "price_revision_entry", "price_revision"):
        op.drop_table(table)
