"""`python -m ualm`: the command `ualm`."""

import sys

from ._program import main

sys.exit(main())
