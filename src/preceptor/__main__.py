"""``python -m preceptor``: the same as the command, for where the environment's scripts are not on the path."""

import sys

from preceptor.cli import main

sys.exit(main())
