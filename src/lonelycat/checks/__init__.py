"""Verification, health checks and service restarts against the real thing."""
