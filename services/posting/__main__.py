"""`python -m services.posting serve | migrate | parked | replay | republish`."""

from services.posting.main import build
from shared.command import main

main("posting", build)
