"""Posting's use cases: what claims' news, money and staff do to the books."""
