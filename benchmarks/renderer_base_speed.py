"""The renderer's preset `base` beside the public code that it is laid out as, with the same random weights, on a CPU.

    python -m benchmarks.renderer_base_speed CLONE [--frames 2] [--threads 1]

CLONE: github.com/KwaiVGI/LivePortrait. Both make the same frames of one portrait, in turn, float32: ours at once, the
public pipeline's core one by one, as it runs. Printed as JSON: seconds of CPU a frame of each part (the clock runs on
while other programs have the cores), and the largest difference of the pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.ending import run_program
from talkface_core.see_the_speaker.convert_liveportrait import read_liveportrait
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.renderer import inference_copy
from talkface_core.training.arguments import above_zero


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone")
    parser.add_argument("--frames", type=above_zero(int), default=2)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sys.path.insert(0, args.clone)
    print(json.dumps(compared(args.frames), indent=2))


@torch.no_grad()
def compared(frames: int) -> dict[str, Any]:
    """Seconds a frame and the difference."""
    import tempfile
    from pathlib import Path

    from tests.see_the_speaker.liveportrait_golden import networks, wrapper

    torch.manual_seed(0)
    nets = networks(True)
    core = wrapper(nets)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"):
            torch.save(nets[name].state_dict(), Path(folder) / f"{name}.pth")
        ours = inference_copy(read_liveportrait(folder)[0])
    pictures = torch.rand(frames + 1, 3, 256, 256)
    seconds: dict[str, float] = {}

    def timed(name: str, run: Callable[[], Any], count: int = 1) -> Any:
        start = time.process_time()
        made = run()
        seconds[name] = round((time.process_time() - start) / count, 3)
        return made

    def public_motion() -> list[dict[str, torch.Tensor]]:
        return [core.get_kp_info(picture) for picture in pictures.split(1)]

    def public_frames() -> torch.Tensor:
        made = []
        for info in infos[1:]:
            moving = core.transform_keypoint({**info, "kp": infos[0]["kp"]})
            made.append(core.warp_decode(volume, source, moving)["out"])
        return torch.cat(made)

    volume = timed("public: portrait", lambda: core.extract_feature_3d(pictures[:1]))
    infos = timed("public: motion a frame", public_motion, frames + 1)
    source = core.transform_keypoint(infos[0])
    identity = timed("ours: portrait, its motion too", lambda: ours.identity(pictures[:1]))
    motion: Motion = timed("ours: motion a frame", lambda: ours.motion(pictures), frames + 1)[1:]
    made = timed("ours: a frame", lambda: ours.render(identity, motion), frames)
    theirs = timed("public: a frame", public_frames, frames)
    return {**seconds, "largest difference": float((made - theirs).abs().max())}


if __name__ == "__main__":
    run_program(main)
