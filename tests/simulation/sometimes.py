"""What must happen in every large enough run: a fault that never fires, or a refusal that never comes, tests nothing."""

from typing import Final

from tests.simulation.plan import NETWORK_FAULTS

SOMETIMES: Final = (
    *(f"network: {fault}" for fault in NETWORK_FAULTS),
    *(f"resync: {reason}" for reason in ("epoch_changed", "cursor_ahead", "below_retention")),
    *(f"scope: {change}" for change in ("gained", "lost")),
    *(f"server: {fault}" for fault in ("killed", "restored", "restored by hand", "poison", "disk full", "locked", "foreign write")),
    *(
        f"device: {fault}"
        for fault in ("killed before", "killed after", "restored", "cloned", "clock jumped", "disk full", "locked")
    ),
    *(f"device: {fault}" for fault in ("revoked", "wiped", "offline 91 days", "offline 400 days")),
    *(f"office: {act}" for act in ("released", "refused")),
    "server: tombstones collected",
    *(f"error: {name}Error" for name in ("BadReply", "DeviceRevoked", "EnrolmentRefused", "NoPrice", "OrderState", "UnknownRow")),
    *(f"error: {name}Error" for name in ("ServerBusy", "ServerUnreachable", "StoreBusy", "StoreFull")),
)
