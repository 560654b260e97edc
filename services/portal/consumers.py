"""What the portal reads, and which handler takes it in."""

from services.portal.invoices import handlers
from shared.events.invoicing import ACCOUNT_STATE, DISPUTE_STATE, INVOICE_LINE_STATE, INVOICE_STATE, PRACTICE_STATE
from shared.events.posting import CREDIT_STATE, PAYMENT_STATE
from shared.service import Service


def register(service: Service) -> None:
    """Invoices before their lines, as everybody locks them."""
    service.consume(
        "read-model",
        {
            PRACTICE_STATE: handlers.practices,
            ACCOUNT_STATE: handlers.accounts,
            INVOICE_STATE: handlers.invoices,
            INVOICE_LINE_STATE: handlers.lines,
            DISPUTE_STATE: handlers.disputes,
            PAYMENT_STATE: handlers.payments,
            CREDIT_STATE: handlers.credits,
        },
    )
