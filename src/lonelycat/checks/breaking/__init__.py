"""Breaks a copy of the services in a sandbox, and sees which health checks notice."""
