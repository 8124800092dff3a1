"""``python -m check_user``: the same as ``check-user``."""

import sys

from check_user.cli import main

sys.exit(main())
