"""`python -m services.portal serve | migrate | parked | replay`."""

from services.portal.main import build
from shared.command import main

main("portal", build)
