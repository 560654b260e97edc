"""The portal's one metadata; each room declares its tables in its own `tables.py`, and `services.portal.tables` gathers them."""

from shared.db import new_metadata

metadata = new_metadata()
