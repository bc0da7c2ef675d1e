"""What holds for all tests."""

import os

import pytest
import torch
from hypothesis import settings

# The same examples in every run, and no deadline: how busy a machine is says nothing about the code.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: a pool of threads in each would only wait for one another's.
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """How pytest-xdist shares out the tests: files whole, for their fixtures' sake; all of a host to one worker, and
    all of a browser, since they share a server and a page."""
    for item in items:
        shared = [folder for folder in ("host", "browser") if item.nodeid.startswith(f"tests/{folder}/")]
        item.add_marker(pytest.mark.xdist_group(shared[0] if shared else str(item.path)))
