"""`python -m services.portal serve | migrate | parked | replay | republish | patient-user`."""

from services.portal.identity.commands import COMMANDS
from services.portal.main import build
from shared.command import main

main("portal", build, COMMANDS)
