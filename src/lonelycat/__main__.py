"""``python -m lonelycat`` is the command line."""

import sys

from lonelycat.interfaces.cli import main

if __name__ == "__main__":
    sys.exit(main())
