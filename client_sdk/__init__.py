"""The device: a replica to order against with no network, an outbox that loses nothing, and the way to the server."""
