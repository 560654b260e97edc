"""The notifier's tables: copies from which mails are decided, items for the daily digest, and every mail with its outcome."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, DateTime, Index, Integer, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import new_metadata

metadata = new_metadata()

STATES = ("waiting", "sent", "skipped", "failed")
KINDS = ("new", "reissued", "overdue", "overdue_again")


def _copy(name: str, key: str, *more: Column[object]) -> Table:
    """A copy by version of what another service says, as it said it."""
    return Table(
        name,
        metadata,
        Column("practice_id", Text, primary_key=True),
        Column(key, Text, primary_key=True),
        Column("version", BigInteger, nullable=False),
        Column("body", JSONB, nullable=False),
        *more,
    )


practices = Table(
    "practices",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("body", JSONB, nullable=False),
)
accounts = _copy("accounts", "account_id")
invoices = _copy("invoices", "invoice_id")
contacts = _copy("contacts", "contact_id", Column("account_id", Text, nullable=False, index=True))
contracts = _copy("contracts", "contract_id")

# What has been said of an invoice so far: the highest version that a fact or dispute named, and payments whose capture was read.
known = Table(
    "known",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("payments", JSONB, nullable=False),
)

# One fact about an invoice that a digest is to carry; it is decided when the digest is sent.
items = Table(
    "items",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("issue_no", Integer, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("on", Date, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("trace", Text),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended", Text),
    CheckConstraint(f"kind IN {KINDS}", name="kind_known"),
    Index("ix_items_open", "practice_id", "account_id", postgresql_where="ended IS NULL"),
)

# What each contact was told: never told again.
told = Table(
    "told",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("issue_no", Integer, primary_key=True),
    Column("contact_id", Text, primary_key=True),
    Column("mail_id", Text, nullable=False),
)

mails = Table(
    "mails",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("mail_id", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("cause", JSONB, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("recipient", Text),
    Column("subject", Text),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("on", Date, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("trace", Text),
    CheckConstraint(f"state IN {STATES}", name="state_known"),
    Index("uq_mails_key", "practice_id", "key", unique=True),
    Index("ix_mails_waiting", "next_try_at", postgresql_where="state = 'waiting'"),
)
