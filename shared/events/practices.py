"""What a practice consists of for everybody: its look, its bank accounts, and where it takes cards."""

from dataclasses import dataclass

from shared.events.types import CardBrand


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """One colour of the practice in four safe values, and its logo (EP-19)."""

    accent: str
    accent_on: str
    accent_edge: str
    accent_soft: str
    logo_id: str | None
    logo_alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """A bank account of the practice."""

    bank_account_id: str
    name: str
    last4: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantLocation:
    """Departments that take cards under one pair of merchant ids; a maximum of null means that contract kind is not offered (CF-07)."""

    merchant_location_id: str
    retail_merchant_id: str | None
    card_not_present_merchant_id: str | None
    accepted_cards: list[CardBrand]
    single_appointment_max_cents: int | None
    one_year_max_cents: int | None
    auto_contract_department_id: str | None
