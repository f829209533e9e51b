"""The spine: what is sold, to whom, at what price, from which stock; orders; the two logs; who may use it."""

import sqlalchemy as sa
from alembic import op

from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Identifier

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:  # noqa: PLR0915  # as many statements as there are tables
    op.create_table(
        "category",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent_id", Identifier(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_category")),
        sa.UniqueConstraint("code", name=op.f("uq_category_code")),
    )
    op.create_table(
        "change_commit",
        sa.Column("change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("commit_seq", sa.BigInteger(), nullable=True),
        sa.Column("committed_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("change", name=op.f("pk_change_commit")),
        sa.UniqueConstraint("commit_seq", name=op.f("uq_change_commit_commit_seq")),
    )
    op.create_table(
        "change_head",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", Identifier(), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_head")),
    )
    op.create_table(
        "change_leave",
        sa.Column("entity", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("row_id", Identifier(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "row_id", "bucket", name=op.f("pk_change_leave")),
    )
    op.create_index("ix_change_leave_change", "change_leave", ["change"], unique=False)
    op.create_index("ix_change_leave_walk", "change_leave", ["entity", "change", "row_id"], unique=False)

    op.create_table(
        "change_log",
        sa.Column("entity", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("row_id", Identifier(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "row_id", name=op.f("pk_change_log")),
    )
    op.create_index("ix_change_log_change", "change_log", ["change"], unique=False)
    op.create_index("ix_change_log_walk", "change_log", ["entity", "change", "row_id"], unique=False)

    op.create_table(
        "intent_failure",
        sa.Column("intent_id", Identifier(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("intent_id", name=op.f("pk_intent_failure")),
    )
    op.create_table(
        "intent_record",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("subject_id", Identifier(), nullable=True),
        sa.Column("user_id", Identifier(), nullable=False),
        sa.Column("device_id", Identifier(), nullable=False),
        sa.Column("captured_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("clock_skew_ms", sa.BigInteger(), nullable=True),
        sa.Column("decided_at_cursor", sa.BigInteger(), nullable=False),
        sa.Column("rules_version", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("verdict", sa.LargeBinary(), nullable=False),
        sa.Column("commit_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intent_record")),
    )
    op.create_index("ix_intent_record_received_at_ms", "intent_record", ["received_at_ms"], unique=False)
    op.create_index("ix_intent_record_subject_id", "intent_record", ["subject_id"], unique=False)

    op.create_table(
        "number_prefix",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_number_prefix")),
    )
    op.create_table(
        "price_list",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_list")),
        sa.UniqueConstraint("code", name=op.f("uq_price_list_code")),
    )
    op.create_table(
        "rep",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rep")),
        sa.UniqueConstraint("code", name=op.f("uq_rep_code")),
    )
    op.create_table(
        "stock_location",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_location")),
        sa.UniqueConstraint("code", name=op.f("uq_stock_location_code")),
    )
    op.create_table(
        "unit",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit")),
        sa.UniqueConstraint("code", name=op.f("uq_unit_code")),
    )
    op.create_table(
        "product",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("unit_id", Identifier(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("category_id", Identifier(), nullable=True),
        sa.Column("variant_of_id", Identifier(), nullable=True),
        sa.Column("variant_label", sa.Text(), nullable=True),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["category_id"], ["category.id"], name=op.f("fk_product_category_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_product_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product")),
        sa.UniqueConstraint("sku", name=op.f("uq_product_sku")),
    )
    op.create_index(op.f("ix_product_variant_of_id"), "product", ["variant_of_id"], unique=False)

    op.create_table(
        "territory",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("price_list_id", Identifier(), nullable=True),
        sa.Column("stock_location_id", Identifier(), nullable=True),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_territory_price_list_id")),
        sa.ForeignKeyConstraint(["stock_location_id"], ["stock_location.id"], name=op.f("fk_territory_stock_location_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_territory")),
        sa.UniqueConstraint("code", name=op.f("uq_territory_code")),
    )
    op.create_table(
        "customer",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("territory_id", Identifier(), nullable=True),
        sa.Column("price_list_id", Identifier(), nullable=True),
        sa.Column("review_above_minor", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_customer_price_list_id")),
        sa.ForeignKeyConstraint(["territory_id"], ["territory.id"], name=op.f("fk_customer_territory_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("code", name=op.f("uq_customer_code")),
    )
    op.create_index(op.f("ix_customer_territory_id"), "customer", ["territory_id"], unique=False)

    op.create_table(
        "pack",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("unit_id", Identifier(), nullable=False),
        sa.Column("quantity_in_base", sa.BigInteger(), nullable=False),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_pack_product_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_pack_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pack")),
    )
    op.create_index(op.f("ix_pack_product_id"), "pack", ["product_id"], unique=False)

    op.create_table(
        "price_entry",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("price_list_id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("min_quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_price_entry_price_list_id")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_price_entry_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_entry")),
        sa.UniqueConstraint(
            "product_id", "price_list_id", "min_quantity", name=op.f("uq_price_entry_product_id_price_list_id_min_quantity")
        ),
    )
    op.create_index(op.f("ix_price_entry_price_list_id"), "price_entry", ["price_list_id"], unique=False)

    op.create_table(
        "rep_territory",
        sa.Column("rep_id", Identifier(), nullable=False),
        sa.Column("territory_id", Identifier(), nullable=False),
        sa.ForeignKeyConstraint(["rep_id"], ["rep.id"], name=op.f("fk_rep_territory_rep_id")),
        sa.ForeignKeyConstraint(["territory_id"], ["territory.id"], name=op.f("fk_rep_territory_territory_id")),
        sa.PrimaryKeyConstraint("rep_id", "territory_id", name=op.f("pk_rep_territory")),
    )
    op.create_index(op.f("ix_rep_territory_territory_id"), "rep_territory", ["territory_id"], unique=False)

    op.create_table(
        "stock_level",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("stock_location_id", Identifier(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("allocated", sa.BigInteger(), nullable=False),
        sa.Column("as_of_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_stock_level_product_id")),
        sa.ForeignKeyConstraint(["stock_location_id"], ["stock_location.id"], name=op.f("fk_stock_level_stock_location_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_level")),
        sa.UniqueConstraint("product_id", "stock_location_id", name=op.f("uq_stock_level_product_id_stock_location_id")),
    )
    op.create_index(op.f("ix_stock_level_stock_location_id"), "stock_level", ["stock_location_id"], unique=False)

    op.create_table(
        "address",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("street", sa.Text(), nullable=False),
        sa.Column("postal_code", sa.Text(), nullable=False),
        sa.Column("city", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_address_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address")),
    )
    op.create_index(op.f("ix_address_customer_id"), "address", ["customer_id"], unique=False)

    op.create_table(
        "contact",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_contact_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
    )
    op.create_index(op.f("ix_contact_customer_id"), "contact", ["customer_id"], unique=False)

    op.create_table(
        "user_account",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("rep_id", Identifier(), nullable=True),
        sa.Column("customer_id", Identifier(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_user_account_customer_id")),
        sa.ForeignKeyConstraint(["rep_id"], ["rep.id"], name=op.f("fk_user_account_rep_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint("login", name=op.f("uq_user_account_login")),
    )
    op.create_table(
        "device",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("user_id", Identifier(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("incarnation", sa.LargeBinary(), nullable=False),
        sa.Column("previous_incarnation", sa.LargeBinary(), nullable=False),
        sa.Column("number_prefix", sa.Text(), nullable=False),
        sa.Column("enrolled_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_cursor", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_reason", sa.Text(), nullable=True),
        sa.Column("forked_from_id", Identifier(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_device_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("number_prefix", name=op.f("uq_device_number_prefix")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_device_token_digest")),
    )
    op.create_index(op.f("ix_device_user_id"), "device", ["user_id"], unique=False)

    op.create_table(
        "enrolment_code",
        sa.Column("code_digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", Identifier(), nullable=False),
        sa.Column("created_by_id", Identifier(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_enrolment_code_user_id")),
        sa.PrimaryKeyConstraint("code_digest", name=op.f("pk_enrolment_code")),
    )
    op.create_index(op.f("ix_enrolment_code_user_id"), "enrolment_code", ["user_id"], unique=False)

    op.create_table(
        "sales_order",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("captured_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("subtotal_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("freight_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("rep_id", Identifier(), nullable=True),
        sa.Column("address_id", Identifier(), nullable=True),
        sa.Column("stock_location_id", Identifier(), nullable=True),
        sa.Column("purchase_order_number", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("hold_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_sales_order_address_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_sales_order_customer_id")),
        sa.ForeignKeyConstraint(["rep_id"], ["rep.id"], name=op.f("fk_sales_order_rep_id")),
        sa.ForeignKeyConstraint(["stock_location_id"], ["stock_location.id"], name=op.f("fk_sales_order_stock_location_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales_order")),
        sa.UniqueConstraint("number", name=op.f("uq_sales_order_number")),
    )
    op.create_index("ix_sales_order_customer_recent", "sales_order", ["customer_id", "received_at_ms", "id"], unique=False)
    op.create_index("ix_sales_order_recent", "sales_order", ["received_at_ms", "id"], unique=False)
    op.create_index("ix_sales_order_rep_recent", "sales_order", ["rep_id", "received_at_ms", "id"], unique=False)
    op.create_index("ix_sales_order_status_recent", "sales_order", ["status", "received_at_ms", "id"], unique=False)

    op.create_table(
        "user_session",
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", Identifier(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_user_session_user_id")),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_user_session")),
    )
    op.create_index(op.f("ix_user_session_user_id"), "user_session", ["user_id"], unique=False)

    op.create_table(
        "number_series",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("holder_id", Identifier(), nullable=False),
        sa.Column("device_id", Identifier(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_number_series_device_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_number_series")),
        sa.UniqueConstraint("prefix", name=op.f("uq_number_series_prefix")),
    )
    op.create_table(
        "sales_order_line",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("order_id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("line_number", sa.BigInteger(), nullable=False),
        sa.Column("product_id", Identifier(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.Column("discount_basis_points", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("allocated", sa.BigInteger(), nullable=False),
        sa.Column("backordered", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_sales_order_line_customer_id")),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_sales_order_line_order_id")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_sales_order_line_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales_order_line")),
    )
    op.create_index(op.f("ix_sales_order_line_order_id"), "sales_order_line", ["order_id"], unique=False)

    op.bulk_insert(
        sa.table("change_head", sa.column("id"), sa.column("epoch", Identifier()), sa.column("head"), sa.column("floor")),
        [{"id": 1, "epoch": IdSource(SystemClock()).new(), "head": 0, "floor": 0}],
    )
    op.bulk_insert(sa.table("number_prefix", sa.column("id"), sa.column("last")), [{"id": 1, "last": 0}])


def downgrade() -> None:
    for table in (
        "sales_order_line",
        "number_series",
        "user_session",
        "sales_order",
        "enrolment_code",
        "device",
        "user_account",
        "contact",
        "address",
        "stock_level",
        "rep_territory",
        "price_entry",
        "pack",
        "customer",
        "territory",
        "product",
        "unit",
        "stock_location",
        "rep",
        "price_list",
        "number_prefix",
        "intent_record",
        "intent_failure",
        "change_log",
        "change_leave",
        "change_head",
        "change_commit",
        "category",
    ):
        op.drop_table(table)
