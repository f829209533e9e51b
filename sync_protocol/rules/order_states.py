"""The life of an order, as data. Both ends read the same table; nothing else may say where an order can go."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sync_protocol.entities.orders import OrderStatus


class Actor(StrEnum):
    """Who moves an order: the one who captured it, the server's own rules, or a manager."""

    CAPTURER = "capturer"
    SERVER = "server"
    MANAGER = "manager"


_ANY_OF_THEM: Final = frozenset({Actor.CAPTURER, Actor.MANAGER})
_SERVER: Final = frozenset({Actor.SERVER})
_MANAGER: Final = frozenset({Actor.MANAGER})

TRANSITIONS: Final[Mapping[OrderStatus, Mapping[OrderStatus, frozenset[Actor]]]] = MappingProxyType(
    {
        OrderStatus.DRAFT: {OrderStatus.SUBMITTED: frozenset({Actor.CAPTURER})},
        OrderStatus.SUBMITTED: {
            OrderStatus.CONFIRMED: _SERVER,
            OrderStatus.HELD: _SERVER,
            OrderStatus.CANCELLED: _ANY_OF_THEM,
        },
        OrderStatus.HELD: {
            OrderStatus.SUBMITTED: frozenset({Actor.CAPTURER}),
            OrderStatus.CONFIRMED: _MANAGER | _SERVER,
            OrderStatus.HELD: _SERVER,
            OrderStatus.REFUSED: _MANAGER,
            OrderStatus.CANCELLED: _ANY_OF_THEM,
        },
        OrderStatus.CONFIRMED: {
            OrderStatus.SUBMITTED: frozenset({Actor.CAPTURER}),
            OrderStatus.CONFIRMED: _SERVER,
            OrderStatus.HELD: _SERVER,
            OrderStatus.COMPLETED: _MANAGER,
            OrderStatus.CANCELLED: _ANY_OF_THEM,
        },
        OrderStatus.COMPLETED: {},
        OrderStatus.REFUSED: {},
        OrderStatus.CANCELLED: {},
    }
)


def may_move(actor: Actor, source: OrderStatus, target: OrderStatus) -> bool:
    """Whether the table lets `actor` move an order from `source` to `target`; nobody, from a state of a newer server."""
    return actor in TRANSITIONS.get(source, {}).get(target, frozenset())


def may_amend(status: OrderStatus) -> bool:
    """Whether an order's lines may still change: while the server may decide it anew."""
    return may_move(Actor.SERVER, status, OrderStatus.HELD)
