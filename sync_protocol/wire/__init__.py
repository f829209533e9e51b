"""How it travels: the messages, the interface that both ends meet at, the dated history of both, and the bytes."""
