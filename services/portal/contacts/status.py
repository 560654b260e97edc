"""A contact's access to one account as a state machine (EP-02): data first, one function that moves."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    NOT_INVITED = "not_invited"
    INVITED = "invited"
    REGISTERED = "registered"
    REVOKED = "revoked"


class ContactRole(StrEnum):
    """What a contact may do at the account (BX-03)."""

    OWNER = "owner"
    PAYER = "payer"
    VIEWER = "viewer"


class Move(StrEnum):
    """What happens to a contact; each is a row of its history."""

    SAVE = "save"
    INVITE = "invite"
    RESEND = "resend"
    REGISTER = "register"
    REVOKE = "revoke"
    GRANT = "grant"
    CHANGE_EMAIL = "change_email"
    UNLOCK = "unlock"


class Refused(Exception):
    """A move that is not possible now, in words for a person."""


_STAY = frozenset((status, status) for status in Status)
TRANSITIONS: Mapping[Move, frozenset[tuple[Status, Status]]] = {
    Move.SAVE: _STAY,
    Move.INVITE: frozenset({(Status.NOT_INVITED, Status.INVITED)}),
    Move.RESEND: frozenset({(Status.INVITED, Status.INVITED)}),
    Move.REGISTER: frozenset({(Status.INVITED, Status.REGISTERED)}),
    Move.REVOKE: frozenset({(Status.INVITED, Status.REVOKED), (Status.REGISTERED, Status.REVOKED)}),
    Move.GRANT: frozenset(
        {
            (Status.NOT_INVITED, Status.REGISTERED),  # the e-mail belongs to a registered person: no new registration
            (Status.REVOKED, Status.REGISTERED),
            (Status.REVOKED, Status.INVITED),  # never registered
        }
    ),
    Move.CHANGE_EMAIL: frozenset({(Status.INVITED, Status.NOT_INVITED)}),
    Move.UNLOCK: frozenset({(Status.REGISTERED, Status.REGISTERED)}),
}
REFUSALS = {
    Move.INVITE: "has been invited already",
    Move.RESEND: "has no open invitation",
    Move.REGISTER: "has no open invitation",
    Move.REVOKE: "has no access to revoke",
    Move.GRANT: "has access already, or is invited",
    Move.CHANGE_EMAIL: "keeps this e-mail",
    Move.UNLOCK: "has no log-in",
}


def moved(name: str, now: Status, move: Move, to: Status) -> Status:
    """The status after the move; raises Refused for one that is not in the table. `name` is for the words."""
    if (now, to) not in TRANSITIONS[move]:
        raise Refused(f"{name} {REFUSALS.get(move, 'cannot be changed so')}")
    return to


def may(now: Status, move: Move) -> bool:
    """Whether the move is possible at all from here, whatever it leads to."""
    return any(before is now for before, _ in TRANSITIONS[move])
