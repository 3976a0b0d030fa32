"""Changes that only raise versions of what a file names already, by kind of file."""
