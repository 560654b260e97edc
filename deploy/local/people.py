"""The people of the demo: contacts of every employer, one of them registered through the pages, one patient user."""

from collections.abc import Callable
from typing import Any

import httpx

from deploy.local.plan import Plan
from deploy.local.visitor import Where

Say = Callable[[str], None]


async def seed(
    plan: Plan, at: Where, http: httpx.AsyncClient, employers: list[dict[str, Any]], accounts: list[dict[str, Any]], say: Say
) -> dict[str, Any]:
    """Invites every contact and registers Paula Schaefer; returns who can sign in."""
    return {}
