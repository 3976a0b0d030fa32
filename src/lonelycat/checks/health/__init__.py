"""Health checks against the real services; one module a kind, registered in ``registry.py``."""
