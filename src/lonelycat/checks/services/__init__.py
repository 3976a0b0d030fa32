"""Restarts of services by name; one module a kind, registered in ``registry.py``."""
