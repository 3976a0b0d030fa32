"""What test runners say about their tests, read and held against how they ended; one module a format."""
