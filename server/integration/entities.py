"""What an import can fill: every synced entity, and which territories a rep works, which never travels."""

from types import MappingProxyType
from typing import Final
from uuid import UUID

import msgspec

from server.customers.models import RepTerritoryModel
from server.integration.bulk import Table, table_of
from sync_protocol.entities import SYNCED


class RepTerritory(msgspec.Struct, frozen=True, kw_only=True):
    """A rep works a territory."""

    rep_id: UUID
    territory_id: UUID


class Importable(msgspec.Struct, frozen=True):
    """An entity's table, and the struct that says what its rows hold."""

    table: Table
    row: type[msgspec.Struct]

    @property
    def has_id(self) -> bool:
        return self.table.key == ("id",)

    def required(self) -> set[str]:
        """The fields that a mapping must give."""
        return {each.name for each in msgspec.structs.fields(self.row) if each.required} - {"id"}


_REP_TERRITORY: Final = Table(RepTerritoryModel.__tablename__, RepTerritory.__struct_fields__, RepTerritory.__struct_fields__)

IMPORTABLE: Final = MappingProxyType(
    {synced.name: Importable(table_of(synced), synced.row) for synced in SYNCED}
    | {_REP_TERRITORY.name: Importable(_REP_TERRITORY, RepTerritory)}
)
