"""What holds for all tests."""

from hypothesis import settings

# The same examples in every run, and no deadline: how busy a machine is says nothing about the code.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
