"""The device: a replica to order against with no network, an outbox that loses nothing, and the way to the server."""

from client_sdk.blocking import BlockingOrderClient
from client_sdk.client import OrderClient
from client_sdk.negotiating import WantedQuote
from client_sdk.order_draft import OrderDraft
from client_sdk.ordering import NewCustomer
from client_sdk.quotes import Quotes
from client_sdk.wanted import WantedLine
from sync_protocol.intents import ManualPrice
from sync_protocol.values import is_known

__all__ = [
    "BlockingOrderClient",
    "ManualPrice",
    "NewCustomer",
    "OrderClient",
    "OrderDraft",
    "Quotes",
    "WantedLine",
    "WantedQuote",
    "is_known",
]
