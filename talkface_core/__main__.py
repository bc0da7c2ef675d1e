"""`python -m talkface_core`: the command line."""

import os
import sys

# Read when torch is loaded. Threads that spin while they wait for one another take the cores from those they wait for:
# beside busy programs on two cores `imagine` took 114 s for what takes 10 s with threads that sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
