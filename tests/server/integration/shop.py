"""A small legacy shop: a mapping as a document, and files to write."""

from copy import deepcopy
from pathlib import Path
from typing import Any

_DOCUMENT: dict[str, Any] = {
    "name": "shop",
    "currency": "EUR",
    "sources": {
        "units": {"rows": [{"code": "EA", "name": "Each"}]},
        "products": {"file": "products.csv"},
        "customers": {"file": "customers.csv"},
        "orders": {"file": "orders.csv", "key": ["Order"]},
        "lines": {"file": "lines.csv", "join": {"order": {"source": "orders", "on": ["Order"]}}},
    },
    "targets": [
        {
            "entity": "unit",
            "from": "units",
            "key": ["code"],
            "fields": {"code": {"column": "code"}, "name": {"column": "name"}},
        },
        {
            "entity": "product",
            "from": "products",
            "key": ["Sku"],
            "sort": True,
            "fields": {
                "sku": {"column": "Sku"},
                "name": {"column": "Name"},
                "description": {"constant": ""},
                "status": {"column": "State", "map": {"A": "active", "D": "discontinued"}, "default": "active"},
                "unit_id": {"reference": "unit", "key": [{"constant": "EA"}]},
                "variant_of_id": {"reference": "product", "key": ["Parent"]},
            },
        },
        {
            "entity": "customer",
            "from": "customers",
            "key": ["No"],
            "where": [{"column": "Test", "empty": True}],
            "fields": {
                "code": {"column": "No"},
                "name": {"column": "Name"},
                "status": {"constant": "active"},
                "review_above_minor": {"column": "Limit", "as": "amount"},
            },
            "tally": {"limited": [{"column": "Limit", "empty": False}]},
        },
        {
            "entity": "sales_order",
            "from": "orders",
            "key": ["Order"],
            "fields": {
                "number": {"column": "Order", "prefix": "X-"},
                "customer_id": {"reference": "customer", "key": ["Customer"]},
                "status": {"constant": "completed"},
                "channel": {"constant": "rep"},
                "currency": {"constant": "EUR"},
                "time_zone": {"constant": "Europe/Berlin"},
                "captured_at_ms": {"column": "Date", "as": "instant", "zone": "Europe/Berlin"},
                "received_at_ms": {"column": "Date", "as": "instant", "zone": "Europe/Berlin"},
                "subtotal_minor": {"column": "Subtotal", "as": "amount"},
                "tax_minor": {"constant": 0},
                "freight_minor": {"constant": 0},
                "total_minor": {"total_of": ["subtotal_minor", "tax_minor", "freight_minor"]},
            },
            "totals": {"subtotal_minor": "Subtotal"},
        },
        {
            "entity": "sales_order_line",
            "from": "lines",
            "key": ["Line"],
            "group": ["Order"],
            "fields": {
                "order_id": {"reference": "sales_order", "key": ["Order"]},
                "customer_id": {"reference": "customer", "key": ["order.Customer"]},
                "line_number": {"position": True},
                "product_id": {"reference": "product", "key": ["Sku"]},
                "quantity": {"column": "Quantity", "as": "integer"},
                "unit_price": {"column": "Price", "as": "unit_price"},
                "discount_basis_points": {"column": "Discount", "as": "basis_points", "default": 0},
                "amount_minor": {"column": "Amount", "as": "amount", "share_of": "order.Subtotal"},
            },
        },
    ],
}

FILES = {
    "products.csv": "Sku,Name,State,Parent\nA,Apple,A,\nB,Bread,D,A\n",
    "customers.csv": "No,Name,Limit,Test\n1,Café Mitte,1000.50,\n2, Hotel Süd ,,\n3,Trial,,yes\n",
    "orders.csv": "Order,Customer,Date,Subtotal\n10,1,2026-01-05,10.0000\n11,2,2026-07-05 14:30:00,7.50\n",
    "lines.csv": (
        "Line,Order,Sku,Quantity,Price,Discount,Amount\n"
        "1,10,A,1,3.3333,,3.33333\n2,10,A,1,3.3333,,3.33333\n4,11,B,3,2.5000,0.0,7.5\n3,10,B,1,3.3334,,3.33334\n"
    ),
}


def document() -> dict[str, Any]:
    """The mapping, to be changed at will."""
    return deepcopy(_DOCUMENT)


def target(found: dict[str, Any], entity: str) -> dict[str, Any]:
    """The step of an entity in a document."""
    (step,) = (each for each in found["targets"] if each["entity"] == entity)
    assert isinstance(step, dict)
    return step


def write(folder: Path, **changed: str) -> Path:
    """The files, where `customers="…"` stands for what customers.csv holds instead. Returns the folder."""
    for name, text in FILES.items():
        (folder / name).write_text(changed.get(name.removesuffix(".csv"), text), encoding="utf-8")
    return folder
