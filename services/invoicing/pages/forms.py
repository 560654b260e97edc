"""The account's form: text from fields to an account, with words for what is wrong."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, cast

from services.invoicing.domain.account import ONE_LINE, Account
from shared.events.invoicing import Frequency, Mask
from shared.events.types import Address
from shared.http import whole_number
from shared.web.show import parse_day, staff_day

BOXES = ("reissue_restarts_terms", "show_adjustments", "cover_sheet")
MASKS = ("birth_date", "diagnosis", "employee_id", "hide_procedures")


def new_account(practice_id: str, account_id: str, payer_id: str = "") -> Account:
    """What a new account starts with."""
    return Account(
        practice_id=practice_id,
        account_id=account_id,
        version=0,
        name="",
        address=Address(line1="", line2=None, city="", state="", zip=None),
        phone="",
        net_days=30,
        reissue_restarts_terms=False,
        payer_ids=(payer_id,) if payer_id else (),
        po_number=None,
        frequency="weekly",
        weekday=0,
        month_day=None,
        next_run_on=None,
        effective_on=None,
        expires_on=None,
        show_adjustments=True,
        overdue_again_days=60,
        cover_sheet=False,
        mask=Mask(),
    )


def account_form(account: Account) -> dict[str, str]:
    """An account as text for its fields; boxes hold `yes` or nothing."""
    address = account.address
    boxes = {name: getattr(account, name) for name in BOXES}
    boxes |= {f"mask_{name}": getattr(account.mask, name) for name in MASKS}
    return {
        "version": str(account.version),
        "name": account.name,
        "line1": address.line1,
        "line2": address.line2 or "",
        "city": address.city,
        "state": address.state,
        "zip": address.zip or "",
        "phone": account.phone,
        "payer_ids": ", ".join(account.payer_ids),
        "po_number": account.po_number or "",
        "effective_on": staff_day(account.effective_on) if account.effective_on else "",
        "expires_on": staff_day(account.expires_on) if account.expires_on else "",
        "net_days": str(account.net_days),
        "frequency": account.frequency,
        "weekday": str(account.weekday or 0),
        "month_day": str(account.month_day or 1),
        "overdue_again_days": str(account.overdue_again_days),
        **{name: "yes" if on else "" for name, on in boxes.items()},
    }


def as_typed(form: Mapping[str, Any]) -> dict[str, str]:
    """What a form sent, for showing it again; a box that was left empty is not sent."""
    names = account_form(new_account("", ""))
    return {name: str(form.get(name, "")) for name in names}


def edited(account: Account, form: Mapping[str, Any], parts: Collection[str]) -> tuple[Account, dict[str, str]]:
    """The account with the fields of these parts (`details`, `billing`) as typed, and what is wrong by field."""
    errors: dict[str, str] = {}

    def text(name: str, required: str = "", longest: int = 200) -> str:
        value = str(form.get(name, "")).strip()
        if required and not value:
            errors[name] = required
        elif len(value) > longest:
            errors[name] = f"Use up to {longest} characters"
        elif not value.isprintable():
            errors[name] = ONE_LINE
        return value

    def typed(name: str, read: Callable[[str], Any], empty: Any = None) -> Any:
        value = text(name)
        if not value:
            return empty
        try:
            return read(value)
        except ValueError as error:
            errors[name] = str(error)
            return empty

    if "details" in parts:
        payer_ids = tuple(dict.fromkeys(each.strip() for each in text("payer_ids", longest=4000).split(",") if each.strip()))
        if not payer_ids:
            errors["payer_ids"] = "Enter at least one payer id whose claims this account pays"
        account = replace(
            account,
            name=text("name", "Enter the employer's name"),
            address=Address(
                line1=text("line1", "Enter the street address"),
                line2=text("line2") or None,
                city=text("city", "Enter the city"),
                state=text("state", "Enter the state", 40),
                zip=text("zip", longest=10) or None,
            ),
            phone=text("phone", longest=40),
            payer_ids=payer_ids,
            po_number=text("po_number", longest=60) or None,
            effective_on=cast("date | None", typed("effective_on", parse_day)),
            expires_on=cast("date | None", typed("expires_on", parse_day)),
        )
        if account.effective_on and account.expires_on and account.expires_on < account.effective_on:
            errors["expires_on"] = "The account ends before it starts"
    if "billing" in parts:
        frequency = text("frequency")
        if frequency not in ("daily", "weekly", "monthly"):
            errors["frequency"] = "Choose how often the account is billed"
            frequency = account.frequency
        account = replace(
            account,
            net_days=typed("net_days", whole(0, 365), account.net_days),
            frequency=cast(Frequency, frequency),
            weekday=typed("weekday", whole(0, 6), 0) if frequency == "weekly" else None,
            month_day=typed("month_day", whole(1, 28), 1) if frequency == "monthly" else None,
            overdue_again_days=typed("overdue_again_days", whole(60, 200), account.overdue_again_days),
            reissue_restarts_terms=bool(form.get("reissue_restarts_terms")),
            show_adjustments=bool(form.get("show_adjustments")),
            cover_sheet=bool(form.get("cover_sheet")),
            mask=Mask(**{name: bool(form.get(f"mask_{name}")) for name in MASKS}),
        )
    return account, errors


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number in these bounds, or says which ones they are."""

    def read(value: str) -> int:
        number = whole_number(value)
        if number is None or not least <= number <= most:
            raise ValueError(f"Enter a whole number, {least} to {most}")
        return number

    return read
