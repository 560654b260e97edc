"""The identity room's tables. Persons belong to the platform, not to a practice, so these stand outside row-level security;
only the functions of this room read and write them."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Index, Integer, Table, Text

from services.portal.metadata import metadata


class Kind(StrEnum):
    """Whose side an e-mail address is on: never both (EP-03)."""

    EMPLOYER = "employer"
    PATIENT = "patient"


class Factor(StrEnum):
    """How a person proves who they are when the password is forgotten."""

    SMS = "sms"
    QUESTION = "question"


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(each.value) for each in values)})", name=f"{column}_known")


persons = Table(
    "persons",
    metadata,
    Column("person_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("address", Text, nullable=False, unique=True, comment="the e-mail as it is compared"),
    Column("began_at", DateTime(timezone=True), nullable=False),
    Column("registered_at", DateTime(timezone=True)),
    Column("start_practice_id", Text, comment="where home opens after registration"),
    Column("start_contact_id", Text),
    one_of("kind", Kind),
)
passwords = Table(
    "passwords",
    metadata,
    Column("person_id", Text, ForeignKey("persons.person_id"), primary_key=True),
    Column("no", Integer, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("set_at", DateTime(timezone=True), nullable=False),
)
factors = Table(
    "factors",
    metadata,
    Column("person_id", Text, ForeignKey("persons.person_id"), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("phone", Text),
    Column("question", Text),
    Column("answer_hash", Text),
    Column("set_at", DateTime(timezone=True), nullable=False),
    one_of("kind", Factor),
    CheckConstraint("CASE kind WHEN 'sms' THEN phone IS NOT NULL ELSE question IS NOT NULL AND answer_hash IS NOT NULL END", name="complete"),
)
terms_signed = Table(
    "terms_signed",
    metadata,
    Column("person_id", Text, ForeignKey("persons.person_id"), primary_key=True),
    Column("terms", Text, primary_key=True, comment="the version of the terms"),
    Column("signed_at", DateTime(timezone=True), nullable=False),
)
codes = Table(
    "codes",
    metadata,
    Column("code_id", Text, primary_key=True),
    Column("person_id", Text, ForeignKey("persons.person_id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("code_hash", Text, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("tries_left", Integer, nullable=False),
    Column("used_at", DateTime(timezone=True)),
    CheckConstraint("tries_left BETWEEN 0 AND 5", name="tries"),
    Index(None, "person_id", "purpose", "made_at"),
)
resets = Table(
    "resets",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("reset_id", Text, nullable=False, unique=True),
    Column("person_id", Text, ForeignKey("persons.person_id"), nullable=False, index=True),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("tries_left", Integer, nullable=False),
    Column("used_at", DateTime(timezone=True)),
    CheckConstraint("tries_left BETWEEN 0 AND 5", name="tries"),
)
failures = Table(
    "failures",
    metadata,
    Column("address_hash", Text, primary_key=True, comment="of what was typed, known or not: people type passwords there too"),
    Column("count", Integer, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False, index=True),
    CheckConstraint("count > 0", name="count_above_0"),
)
unlocks = Table(
    "unlocks",
    metadata,
    Column("address_hash", Text, primary_key=True, comment="as in `failures`"),
    Column("at", DateTime(timezone=True), primary_key=True, comment="when staff of whatever practice unlocked it"),
)
invitations = Table(
    "invitations",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("invitation_id", Text, nullable=False, comment="the same for every link of one open invitation"),
    Column("practice_id", Text, nullable=False),
    Column("contact_id", Text, nullable=False),
    Column("address", Text, nullable=False, index=True),
    Column("sent_at", DateTime(timezone=True), nullable=False),
)
memberships = Table(
    "memberships",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("contact_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("person_id", Text, ForeignKey("persons.person_id"), nullable=False, index=True),
    comment="who may enter where: one row per registered contact, kept by the same transaction that moves the contact",
)
sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("session_id", Text, nullable=False, unique=True),
    Column("person_id", Text, ForeignKey("persons.person_id"), nullable=False, index=True),
    Column("device", Text, nullable=False),
    Column("began_at", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False, index=True),
    Column("practice_id", Text),
    Column("contact_id", Text),
)
IDENTITY_TABLES = tuple(
    table.name
    for table in (persons, passwords, factors, terms_signed, codes, resets, failures, unlocks, invitations, memberships, sessions)
)
