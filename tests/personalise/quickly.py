"""`personalise` as a program with three steps a stage: `python -m tests.personalise.quickly VIDEO -o NAME …`."""

import sys
from dataclasses import replace
from pathlib import Path

from talkface_core.personalise import run, stages
from talkface_core.personalise.run import personalise

from .conftest import BUDGET

if __name__ == "__main__":
    stages.TRIAL, stages.LEAST_STEPS = 1, 3
    run.STAGES = tuple(replace(stage, most=200, words=("--batch-size", "1")) for stage in run.STAGES)
    folder = Path(sys.argv[3])
    personalise([sys.argv[1]], folder, folder.with_name("ada.safetensors"), BUDGET, "cpu", True)
