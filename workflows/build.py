"""The workflows of the pack: writes each as the page opens it (<title>.json) and as programs queue it
(api/<name>.json), and the blueprints of subgraphs.

The host offers templates by the names of their files alone, and lists them as the disk does: so these are titles for
people, with a number for their order, and nothing is in this folder that is not a workflow's.

python -m workflows.build    # after a change here, or of a node's inputs (tests/workflows/node_info.py first)
"""

from __future__ import annotations

import json
from pathlib import Path

from . import dae_talker, faces, ladtalk, landmark_diffusion, personalise, see_the_speaker
from .blueprints import BLUEPRINTS
from .graph import Info

FOLDER = Path(__file__).parent
NODE_INFO = FOLDER.parent / "tests" / "workflows" / "node_info.json"

WORKFLOWS = (
    *(dae_talker.dae_talker, dae_talker.dae_talker_long, dae_talker.dae_talker_pose, faces.faces_follow),
    *(ladtalk.ladtalk_dub, ladtalk.ladtalk_dub_long, ladtalk.ladtalk_two_people, ladtalk.sovqae_enhance_any_video),
    *(faces.faces_crop_paste, dae_talker.dae_talker_reconstruct),
    *(landmark_diffusion.landmark_dub, landmark_diffusion.landmark_dub_long, landmark_diffusion.landmark_portrait),
    *(landmark_diffusion.landmark_plus_sovqae, landmark_diffusion.landmark_two_people),
    *(see_the_speaker.voice_to_talking_video, see_the_speaker.animate_any_portrait),
    *(see_the_speaker.portrait_then_landmark_diffusion, see_the_speaker.voice_step_by_step),
    personalise.train_person,
)

BROUGHT_FOLDER = FOLDER / "public_weights"
BROUGHT = (dae_talker.dub_any_face,)
"""Those that need weights that a user brings: no templates, since they do not run as given."""


def read_info() -> Info:
    """The nodes as the snapshot of the host has them."""
    return json.loads(NODE_INFO.read_text(encoding="utf-8"))


def titles() -> dict[str, str]:
    """Name -> title of each workflow, in order."""
    graphs = [describe(read_info()) for describe in WORKFLOWS]
    return {graph.name: graph.title for graph in graphs}


def main() -> None:
    info = read_info()
    files: dict[Path, str] = {}
    for describe in WORKFLOWS:
        files |= describe(info).files(FOLDER)
    for describe in BROUGHT:
        files |= describe(info).files(BROUGHT_FOLDER)
    for outline in BLUEPRINTS:
        files |= outline(info).files()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
