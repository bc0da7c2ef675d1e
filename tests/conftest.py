"""What holds for all tests."""

import os

from hypothesis import settings

# The same examples in every run, and no deadline: how busy a machine is says nothing about the code.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: a pool of threads in each would only wait for one another's. Libraries read this as they
    # are imported, so it comes before torch, numpy and OpenCV are; the programs that tests start have it too.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
