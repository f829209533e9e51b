"""What is sold: products, their categories, units and pack sizes, and the stock locations they are sold from."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from sync_protocol.values import SINCE_3, Code, Label, Name, Note, Quantity, Row


class ProductStatus(StrEnum):
    """Whether a product can be ordered now."""

    ACTIVE = "active"
    DISCONTINUED = "discontinued"


class Category(Row, frozen=True, kw_only=True):
    """A node of the catalogue's tree."""

    code: Code
    name: Name
    parent_id: UUID | None = None


class Unit(Row, frozen=True, kw_only=True):
    """A unit of measure, such as piece, box or metre."""

    code: Code
    name: Name


class Product(Row, frozen=True, kw_only=True):
    """A thing with a SKU. A variant names the product it varies and what makes it different."""

    sku: Code
    name: Name
    description: Note
    unit_id: UUID
    status: ProductStatus
    category_id: UUID | None = None
    variant_of_id: UUID | None = None
    variant_label: Label | None = None
    barcode: Code | None = None
    tax_code: Annotated[Code, SINCE_3] = "standard"


class Pack(Row, frozen=True, kw_only=True):
    """A pack in which a product is handled: so many base units in one of `unit_id`."""

    product_id: UUID
    unit_id: UUID
    quantity_in_base: Quantity
    barcode: Code | None = None
