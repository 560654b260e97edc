"""`python -m services.notifier serve | migrate | parked | replay | republish`."""

from services.notifier.main import build
from shared.command import main

main("notifier", build)
