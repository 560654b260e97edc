"""The areas of the staff pages: which service shows each, and which permission opens it."""

from collections.abc import Callable, Mapping

from shared.web.frame import Link

AREAS: tuple[tuple[str, str, str, str], ...] = (
    ("Accounts", "invoicing", "accounts", "accounts:read"),
    ("Invoices", "invoicing", "invoices", "accounts:read"),
    ("Holds", "invoicing", "holds", "holds:read"),
    ("Work list", "invoicing", "unpaid", "claims:read"),
    ("Money", "posting", "money", "payments:read"),
    ("Agreements", "contracts", "agreements", "contracts:read"),
    ("Log-ins", "portal", "log-ins", "contacts:write"),
    ("Mails", "notifier", "mails", "mails:read"),
    ("Settings", "invoicing", "settings", "settings:write"),
)


def areas(practice_id: str, links: Mapping[str, str], allowed: Callable[[str], bool]) -> tuple[Link, ...]:
    """The links of the bar: one per area that the person may open and whose service has an address."""
    return tuple(
        Link(name, f"{links[service].rstrip('/')}/staff/{practice_id}/{path}")
        for name, service, path, permission in AREAS
        if service in links and allowed(permission)
    )


def first_area(service: str, allowed: Callable[[str], bool]) -> str | None:
    """The path of the first area of this service that the person may open."""
    return next((path for _, owner, path, permission in AREAS if owner == service and allowed(permission)), None)
