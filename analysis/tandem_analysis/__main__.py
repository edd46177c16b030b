"""python3 -m tandem_analysis: the command line."""

import sys

from tandem_analysis.cli import main

if __name__ == "__main__":
    sys.exit(main())
