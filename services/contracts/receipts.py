"""A contract's receipt in two copies: the merchant's is signed, the customer's is for keeping (CF-04)."""

from typing import Any

from shared.web import Web


def merchant_copy(web: Web, practice: dict[str, Any], contract: Any, terms: str) -> str:
    """HTML with a line for the signature."""
    return _copy(web, practice, contract, terms, to_sign=True)


def customer_copy(web: Web, practice: dict[str, Any], contract: Any, terms: str) -> str:
    """HTML for the patient to keep."""
    return _copy(web, practice, contract, terms, to_sign=False)


def _copy(web: Web, practice: dict[str, Any], contract: Any, terms: str, *, to_sign: bool) -> str:
    return web.env.get_template("receipt.html.j2").render(practice=practice, contract=contract, terms=terms.split("\n\n"), to_sign=to_sign)
