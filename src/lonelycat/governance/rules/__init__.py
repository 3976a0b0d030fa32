"""The rule families of the gate, one file each."""
