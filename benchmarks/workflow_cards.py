"""The cards of the template browser: square pictures that show at a glance what each workflow does.

CARDS says what is on each. Only the rendered people of samples/ are on them. `benchmarks.workflow_pictures` makes them
when it runs the workflows; where a workflow's video is there already, this does:

python -m benchmarks.workflow_cards ladtalk_dub video.mp4 card.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from benchmarks.ending import run_program
from workflows.dae_talker import KEYFRAMES

from .card_clips import Seen, View
from .card_panels import AMBER, DARK, Cropped, Keyframes, Latents, Panel, Shots, Sound, Split, Still

SAMPLES = Path(__file__).parents[1] / "samples"
FOOTAGE, PORTRAIT = SAMPLES / "ada.mp4", SAMPLES / "portrait.jpg"
SIDE = 400  # pixels
KEYS = (1.5, 4.5, 3.0)

Area = tuple[int, int, int, int]
"""Left, top, right and bottom of a panel in pixels of a card."""

MOUTH = View.MOUTH
CARDS: Mapping[str, tuple[tuple[Area, Panel], ...]] = {
    "dae_talker": (
        ((0, 0, 400, 310), Shots()),
        ((0, 310, 400, 400), Sound()),
    ),
    "dae_talker_long": (
        ((0, 0, 400, 152), Shots(count=4, of=8, holes=True)),
        ((0, 158, 400, 310), Shots(count=4, of=8, first=4, holes=True)),
        ((0, 314, 400, 400), Sound()),
    ),
    "dae_talker_pose": (
        ((0, 0, 400, 250), Shots(count=3, seconds=KEYS)),
        ((0, 250, 400, 400), Keyframes(KEYFRAMES, large=KEYS)),
    ),
    "faces_follow": (
        ((0, 0, 198, 400), Shots("footage", grey=True, marked=True)),
        ((202, 0, 400, 400), Shots()),
    ),
    "ladtalk_dub": (
        ((0, 0, 400, 158), Shots("footage", MOUTH, count=2, grey=True)),
        ((0, 162, 400, 320), Shots("video", MOUTH, count=2)),
        ((0, 320, 400, 400), Sound()),
    ),
    "ladtalk_dub_long": (
        ((0, 0, 164, 400), Shots("footage", MOUTH, count=4, down=True, holes=True, grey=True)),
        ((164, 0, 236, 400), Sound(down=True)),
        ((236, 0, 400, 400), Shots("video", MOUTH, count=4, down=True, holes=True)),
    ),
    "ladtalk_two_people": (
        ((0, 0, 198, 310), Shots(person=0)),
        ((202, 0, 400, 310), Shots(person=1)),
        ((0, 310, 198, 400), Sound(SAMPLES / "reply_left.flac")),
        ((202, 310, 400, 400), Sound(SAMPLES / "reply_right.flac", AMBER)),
    ),
    "sovqae_enhance_any_video": (((0, 0, 400, 400), Split("soft")),),
    "faces_crop_paste": (((0, 0, 400, 400), Cropped()),),
    "dae_talker_reconstruct": (
        ((0, 0, 160, 400), Shots("footage")),
        ((160, 0, 240, 400), Latents()),
        ((240, 0, 400, 400), Shots()),
    ),
    "landmark_dub": (
        ((0, 0, 400, 158), Shots("video", MOUTH, count=2, bare=True)),
        ((0, 162, 400, 320), Shots("video", MOUTH, count=2)),
        ((0, 320, 400, 400), Sound()),
    ),
    "landmark_dub_long": (
        ((0, 0, 164, 400), Shots("video", MOUTH, count=4, down=True, holes=True, bare=True)),
        ((164, 0, 236, 400), Sound(down=True)),
        ((236, 0, 400, 400), Shots("video", MOUTH, count=4, down=True, holes=True)),
    ),
    "landmark_portrait": (
        ((0, 0, 262, 400), Shots("footage", seconds=(0.0,), grey=True)),
        ((266, 0, 400, 400), Shots("video", MOUTH, count=3, down=True)),
    ),
    "landmark_plus_sovqae": (
        ((0, 0, 400, 198), Shots("video", MOUTH, bare=True)),
        ((0, 202, 400, 400), Shots("video", MOUTH)),
    ),
    "landmark_two_people": (
        ((0, 0, 198, 198), Shots("video", View.FACE, person=0, bare=True)),
        ((202, 0, 400, 198), Shots("video", View.FACE, person=1)),
        ((0, 202, 198, 400), Shots("video", View.FACE, person=0)),
        ((202, 202, 400, 400), Shots("video", View.FACE, person=1, bare=True)),
    ),
    "voice_to_talking_video": (
        ((0, 0, 110, 400), Sound(colour=AMBER, down=True)),
        ((110, 0, 400, 400), Shots()),
    ),
    "animate_any_portrait": (
        ((0, 0, 262, 400), Still(PORTRAIT, grey=True)),
        ((266, 0, 400, 400), Shots("video", View.FACE, count=3, down=True)),
    ),
    "portrait_then_landmark_diffusion": (
        ((0, 0, 198, 262), Shots()),
        ((202, 0, 400, 262), Shots("video", View.FACE, bare=True)),
        ((0, 266, 400, 400), Shots("video", MOUTH, count=3)),
    ),
    "voice_step_by_step": (
        ((0, 0, 400, 80), Sound(colour=AMBER)),
        ((0, 84, 400, 400), Shots("video", count=2)),
    ),
    "train_person": (
        ((0, 0, 120, 400), Shots("footage", count=5, down=True, holes=True, grey=True)),
        ((124, 0, 400, 310), Shots()),
        ((124, 310, 400, 400), Sound()),
    ),
}
"""What is where on the card of each workflow. Where the two could be taken for each other, what was given is grey."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CARDS)
    parser.add_argument("video", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    card(args.name, args.video).save(args.picture)


def card(name: str, video: Path) -> Image.Image:
    """The card of a workflow that made this video."""
    seen = Seen(video, FOOTAGE)
    picture = Image.new("RGB", (SIDE, SIDE), DARK)
    for (left, top, right, bottom), panel in CARDS[name]:
        picture.paste(panel.draw(seen, (right - left, bottom - top)), (left, top))
    return picture


if __name__ == "__main__":
    run_program(main)
