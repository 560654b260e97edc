"""Use cases, each one transaction: lock, decide, save, publish."""
