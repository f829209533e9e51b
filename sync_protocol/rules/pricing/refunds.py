"""What goods that come back are worth (P-74)."""

from sync_protocol.rules.rounding import round_half_up


def refund_amount(paid_minor: int, quantity: int, returned_before: int, returned_now: int) -> int:
    """What is paid back for a further return of a line, in minor units: its part of what was paid, and never more than is left."""
    assert 0 <= returned_before <= returned_before + returned_now <= quantity
    upto = round_half_up(paid_minor * (returned_before + returned_now), quantity)
    return upto - round_half_up(paid_minor * returned_before, quantity)
