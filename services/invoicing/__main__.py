"""`python -m services.invoicing serve | migrate | practice <file> | parked | replay | republish`."""

from services.invoicing.main import build
from services.invoicing.practice import practice
from shared.command import main

main("invoicing", build, {"practice": practice})
