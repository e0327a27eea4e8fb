"""``python -m cml_fast`` is the command ``cml-fast``."""

import sys

from .cli import main

sys.exit(main())
