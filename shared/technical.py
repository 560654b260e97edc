"""All technical tables, by importing the modules that declare them: what a migration has to know."""

from shared import idempotency, inbox, outbox, parking, timers, waiting

__all__ = ["idempotency", "inbox", "outbox", "parking", "timers", "waiting"]
