"""``python -m edgereid``."""

import sys

from edgereid.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
