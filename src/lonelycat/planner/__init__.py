"""From intent to plan, by deterministic rules. Pure."""
