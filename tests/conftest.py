"""What holds for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no deadline: how busy a machine is says nothing about the code.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: a pool of threads in each would only wait for one another's. Libraries read this as they
    # are imported, so it comes before torch, numpy and OpenCV are; the programs that tests start have it too.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")

LONGEST = (
    "host/test_workflows.py",
    "training/test_every_recipe.py",
    "browser/test_templates.py",
    "host/test_ladtalk.py",
    "host/test_see_the_speaker.py",
    "host/test_landmark_diffusion.py",
    "host/test_memory.py",
    "host/test_interrupt.py",
    "host/test_half.py",
    "personalise/test_run.py",
    "batch/test_ray_pool.py",
    "see_the_speaker/test_recipes_of_portraits.py",
    "cli/test_dub.py",
    "cli/test_batch.py",
    "cli/test_live.py",
    "cli/test_ending.py",
    "landmark_diffusion/test_recipe_completion.py",
    "cli/test_animate.py",
    "preparation/test_process_video.py",
    "training/test_engine.py",
    "test_fuzz.py",
    "ladtalk/test_pipeline.py",
    "ladtalk/test_recipe_sovqae.py",
    "workflows/test_workflows.py",
    "see_the_speaker/test_recipe_codebook.py",
    "test_docs.py",
    "ladtalk/test_bundled.py",
    "dae_talker/test_bundled.py",
    "preparation/test_dataset.py",
    "dae_talker/test_live.py",
    "landmark_diffusion/test_whole.py",
)
"""The files that take longest, the longest first. A name that is out of date costs time and nothing else."""


def pytest_configure(config: pytest.Config) -> None:
    # xdist would begin with the files of the most tests, so that few and long ones end on one worker alone.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: the short ones that are left then keep all workers busy to the end."""
    folder = Path(__file__).parent
    order = {folder / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
