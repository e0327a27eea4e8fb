"""``python -m cml_fast`` is the command ``cml-fast``."""

import sys

from ._cli.entry import main

sys.exit(main())
