"""Readers of the formats that a change can come in; each is pure and turns text into file changes."""
