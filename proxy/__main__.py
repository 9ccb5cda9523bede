"""`python -m proxy` is `dragoman`."""

import sys

from proxy.cli import main

sys.exit(main())
