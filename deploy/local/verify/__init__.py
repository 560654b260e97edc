"""The oracle: reads all five databases, the topics, the card processor and the mailbox, and proves the money rules (docs/architecture/verify.md)."""
