"""`python -m services.posting serve | migrate | parked | replay`."""

from services.posting.main import build
from shared.command import main

main("posting", build)
