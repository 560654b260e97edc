"""The contracts' use cases: making and ending a contract, and its charges from notice to capture."""
