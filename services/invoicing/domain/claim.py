"""A claim's content and its registers: which of several messages about one claim counts, in whatever order they arrive."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from shared.events.ingress import ClaimBilled
from shared.events.invoicing import ClaimCorrected

Claim = ClaimCorrected  # the content of a claim: as billed at revision 0, as corrected above
BILLED_FIELDS = tuple(field.name for field in fields(ClaimBilled))


class Refused(ValueError):
    """What a person or program asked cannot be done; the message says why in words, `field` names where a form shows them."""

    def __init__(self, words: str, field: str = "") -> None:
        super().__init__(words)
        self.field = field


class Intake(StrEnum):
    """What becomes of a billed claim: `taken` is new content, `replaced` is other content at a version already known."""

    TAKEN = "taken"
    REPLACED = "replaced"
    REPEATED = "repeated"
    OLDER = "older"


@dataclass(frozen=True, slots=True)
class Marks:
    """The other system's words about a claim beside its content, each at the highest version heard; 0 is never."""

    void_version: int = 0
    hold_version: int = 0
    redrop_version: int = 0


def as_billed(billed: ClaimBilled) -> Claim:
    """The content that a billed claim brings, before any correction."""
    return Claim(revision=0, **{name: getattr(billed, name) for name in BILLED_FIELDS})


def content(claim: Claim) -> tuple[int, int]:
    """The order of content: the other system owns `version`, invoicing owns `revision`."""
    return claim.version, claim.revision


def intake(known: Claim | None, billed: ClaimBilled) -> Intake:
    """Whether a billed claim counts. At one version the later record counts, because compaction keeps only that one."""
    if known is None or (billed.version, 0) > content(known):
        return Intake.TAKEN
    if (billed.version, 0) < content(known):
        return Intake.OLDER
    return Intake.REPEATED if as_billed(billed) == known else Intake.REPLACED


def undoes_correction(known: Claim | None, billed: ClaimBilled) -> bool:
    """Whether a newer version asks other amounts than staff corrected: somebody has to look (hold source `conflict`)."""
    return known is not None and known.revision > 0 and billed.version > known.version and amounts(known) != amounts(billed)


def amounts(claim: ClaimBilled) -> dict[str, int]:
    """Cents by charge."""
    return {charge.charge_id: charge.amount_cents for charge in claim.charges}


def is_void(claim: Claim, marks: Marks) -> bool:
    """Withdrawn by the other system, and not billed again since."""
    return marks.void_version > claim.version


def corrected(claim: Claim, asked: Mapping[str, int]) -> Claim:
    """The claim with these charges changed, at the next revision; the same claim where nothing changes. Raises Refused."""
    known = amounts(claim)
    if strange := asked.keys() - known.keys():
        raise Refused(f"Claim {claim.claim_id} has no charge {sorted(strange)[0]}")
    if any(cents < 0 for cents in asked.values()):
        raise Refused("A charge is 0.00 or more")
    if all(known[charge_id] == cents for charge_id, cents in asked.items()):
        return claim
    charges = [replace(charge, amount_cents=asked.get(charge.charge_id, charge.amount_cents)) for charge in claim.charges]
    return replace(claim, charges=charges, revision=claim.revision + 1)
