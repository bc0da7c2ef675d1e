"""Videos of real recordings, and how long the mouth is open in each: there is no truth, so look at them too.

    python -m benchmarks.real_speech FILE … --out DIR [--model NAME|FILE]

For each recording: a video, a contact sheet, a plot of the opening over the waveform, and a line of the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.ending import run_program
from benchmarks.pictures import contact_sheet, timing_plot
from talkface_core.dae_talker.model import BUNDLED, load_dae_talker
from talkface_core.dae_talker.pipeline import idle_motion, speak_to_file
from talkface_core.evaluation.metrics import open_share
from talkface_core.evaluation.probe import load_probe
from talkface_core.media.audio import load_audio, open_audio
from talkface_core.media.video_reader import VideoReader
from talkface_core.parallel import pick_workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    talker, probe = load_dae_talker(args.model), load_probe()
    print("| recording | seconds | rate | frames | mouth open | openings a second |")
    print("|---|---|---|---|---|---|")
    for path in args.recordings:
        source = open_audio(path)
        video = args.out / f"{path.stem}.mp4"
        control, workers = idle_motion(talker.speech, source), pick_workers(talker.device)
        spoken = speak_to_file(talker, source, video, control=control, workers=workers)
        frames = np.concatenate(list(VideoReader(video).chunks(64)))
        opening = probe.read(frames).mouth_open
        contact_sheet(args.out / f"{path.stem}.png", {"spoken": frames})
        timing_plot(args.out / f"{path.stem}_timing.png", load_audio(path), {"spoken": opening}, float(talker.fps))
        # A rise through the mean is one opening: silence has none, speech some three to six a second.
        rises = np.count_nonzero(np.diff((opening > max(opening.mean(), 0.02)).astype(int)) == 1)
        print(
            f"| {path.stem} | {spoken.seconds_audio:.1f} | {source.sample_rate} Hz | {spoken.frames} | "
            f"{open_share(opening):.0%} | {rises / spoken.seconds_audio:.1f} |"
        )


if __name__ == "__main__":
    run_program(main)
