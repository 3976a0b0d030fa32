"""Thin callers of the façade."""
