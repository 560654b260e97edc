"""Chaos: services killed at random and at named points while claims flow, people pay and contracts charge; then the oracle looks."""
