"""The application: the only module that knows every slice."""

import server.catalog.models
import server.changelog.models
import server.customers.models
import server.identity.models
import server.inventory.models
import server.orders.models
import server.pricing.models  # noqa: F401  # their tables
