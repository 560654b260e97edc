"""Contacts of corporate accounts, and each move of them."""

from sqlalchemy import Boolean, CheckConstraint, Column, Computed, DateTime, ForeignKeyConstraint, Index, Integer, Table, Text, text

from services.portal.contacts.status import TRANSITIONS, ContactRole, Status
from services.portal.identity.tables import one_of
from services.portal.metadata import metadata

APPEND_ONLY = ("contact_moves",)

contacts = Table(
    "contacts",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("contact_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text),
    Column("email", Text, nullable=False),
    Column("address", Text, nullable=False, comment="the e-mail as it is compared; empty without one"),
    Column("phone", Text),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("person_id", Text, comment="who registered; stays when access is revoked"),
    Column("invite_no", Integer, nullable=False, comment="counts the mails sent"),
    Column("invitation_id", Text, comment="the invitation whose links work"),
    Column("invite_open", Boolean, Computed("status = 'invited'", persisted=True), nullable=False),
    Column("sent_outcome", Text, comment="how the newest mail ended"),
    Column("sent_reason", Text),
    Column("sent_at", DateTime(timezone=True)),
    one_of("status", Status),
    one_of("role", ContactRole),
    CheckConstraint("status NOT IN ('invited', 'registered') OR address <> ''", name="reachable"),
    CheckConstraint("status <> 'registered' OR person_id IS NOT NULL", name="registered_person"),
    CheckConstraint("status <> 'invited' OR invitation_id IS NOT NULL", name="invited_link"),
    Index(None, "practice_id", "account_id"),
    Index("uq_contacts_address", "practice_id", "account_id", "address", unique=True, postgresql_where=text("address <> ''")),
)
_KNOWN = ", ".join(
    f"('{move}', '{before}', '{after}')" for move, pairs in TRANSITIONS.items() for before, after in sorted(pairs)
)
contact_moves = Table(
    "contact_moves",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("contact_id", Text, primary_key=True),
    Column("no", Integer, primary_key=True),
    Column("move", Text, nullable=False),
    Column("from_status", Text, nullable=False),
    Column("to_status", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("by", Text, nullable=False),
    Column("words", Text, nullable=False),
    CheckConstraint(f"(move, from_status, to_status) IN ({_KNOWN})", name="move_known"),
    ForeignKeyConstraint(["practice_id", "contact_id"], ["contacts.practice_id", "contacts.contact_id"]),
)
