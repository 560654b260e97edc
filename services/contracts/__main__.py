"""`python -m services.contracts serve | migrate | parked | replay | republish`."""

from services.contracts.main import build
from shared.command import main

main("contracts", build)
