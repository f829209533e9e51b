"""The device: a replica to order against with no network, an outbox that loses nothing, and the way to the server."""

from client_sdk.blocking import BlockingOrderClient
from client_sdk.client import OrderClient, OrderDraft
from client_sdk.ordering import NewCustomer
from sync_protocol.values import is_known

__all__ = ["BlockingOrderClient", "NewCustomer", "OrderClient", "OrderDraft", "is_known"]
