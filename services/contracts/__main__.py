"""`python -m services.contracts serve | migrate | parked | replay`."""

from services.contracts.main import build
from shared.command import main

main("contracts", build)
