"""Prebuilt images of shared buckets."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0005"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "image",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("image_format", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", Identifier(), nullable=False),
        sa.Column("commit_seq", sa.BigInteger(), nullable=False),
        sa.Column("buckets", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("raw_size", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("built_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("superseded_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_image")),
    )


def downgrade() -> None:
    op.drop_table("image")
