"""The mails' templates: one brand layout in HTML and a text of the same content and order."""

from datetime import date, timedelta
from pathlib import Path

import jinja2

from shared import money
from shared.events.contracts import NOTICE_DAYS
from shared.web import show


def make_env() -> jinja2.Environment:
    """Templates of HTML escape what they show; texts do not."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=lambda name: bool(name and name.endswith(".html.j2")),  # noqa: S701 texts are not HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(usd=money.usd, day=show.day, moment=show.moment, plural=show.plural, phone=show.phone, address=show.address)
    env.globals["charge_day"] = charge_day
    env.globals["first_name"] = lambda name: name.split()[0] if name.split() else name
    return env


def charge_day(today: date) -> date:
    """The date of a charge whose notice goes out today (CF-05)."""
    return today + timedelta(days=NOTICE_DAYS)
