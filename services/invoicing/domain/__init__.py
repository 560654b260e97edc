"""The rules of invoicing as pure functions: no clock, no database, no network."""
