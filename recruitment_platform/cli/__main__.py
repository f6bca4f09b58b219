"""`python -m recruitment_platform.cli`: the command line without its installed script."""

import sys

from recruitment_platform.cli import main

if __name__ == "__main__":
    sys.exit(main())
