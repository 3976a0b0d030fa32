"""Evidence: history, artifacts, audit log, receipts, redaction, retention."""
