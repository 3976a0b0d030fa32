"""How results look to a person. Everything here takes plain data and writes to a screen; nothing decides."""
