"""The all-or-nothing file writer: lock, journal, transaction, recovery, rollback."""
