"""A contact as typed, checked in words."""

from collections.abc import Mapping

from services.portal.contacts.access import Wanted
from services.portal.contacts.status import ContactRole
from services.portal.contacts.store import Contact
from services.portal.identity.addresses import wrong_with

LONGEST = {"name": 200, "title": 200, "email": 254, "phone": 40}
ROLES = (
    (ContactRole.OWNER.value, "Owner: sees all and pays"),
    (ContactRole.PAYER.value, "Payer: sees, pays, disputes"),
    (ContactRole.VIEWER.value, "Viewer: sees"),
)


def values_of(contact: Contact | None) -> dict[str, str]:
    if contact is None:
        return {"name": "", "title": "", "email": "", "phone": "", "role": ContactRole.VIEWER.value}
    typed = {"name": contact.name, "title": contact.title, "email": contact.email, "phone": contact.phone, "role": contact.role.value}
    return {name: value or "" for name, value in typed.items()}


def wanted(form: Mapping[str, str]) -> tuple[Wanted | None, dict[str, str]]:
    """The contact of a form, or the words by field."""
    typed = {name: form.get(name, "").strip() for name in LONGEST}
    errors = {name: f"Use up to {most} characters" for name, most in LONGEST.items() if len(typed[name]) > most}
    errors |= {name: "Use letters, digits and signs only" for name, text in typed.items() if not text.isprintable()}
    if not typed["name"]:
        errors["name"] = "Enter a name"
    if typed["email"] and (words := wrong_with(typed["email"])):
        errors["email"] = words
    role = form.get("role", "")
    if role not in {each.value for each in ContactRole}:
        errors["role"] = "Choose a role"
    if errors:
        return None, errors
    return Wanted(typed["name"], typed["title"] or None, typed["email"], typed["phone"] or None, ContactRole(role)), {}
