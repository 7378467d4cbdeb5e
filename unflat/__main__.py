"""`python -m unflat`."""

import sys

from unflat.cli.main import main

sys.exit(main())
