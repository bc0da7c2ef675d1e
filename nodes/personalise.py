"""Train Your Person: footage to a checkpoint of that person, from within the graph.

The work is done in talkface_core/personalise; it is read when the node runs, as it brings what trains along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from comfy_api.latest import InputImpl, io
from numpy.typing import NDArray
from torch import Tensor

from ..talkface_core.checkpoints import list_checkpoints
from ..talkface_core.errors import InputError
from ..talkface_core.pixels import to_unit
from . import host
from .loaders import LoadDAETalker, LoadLaDTalk
from .sockets import DAE, SOVQAE, SPEECH2LATENT, schema

if TYPE_CHECKING:
    from ..talkface_core.personalise.watching import Watcher

FOLDER = "talkface_people"
"""Below the host's output folder: what is in the making, and the page of each person."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class TrainPerson(io.ComfyNode):
    """`personalise` in the graph: looks, prepares, trains, measures; cancelled, it goes on with the next run."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "TrainPerson",
            "Train Your Person",
            "",
            "Makes a speaker of a film of one person: trains DAE-Talker and SOVQAE from the bundled weights and writes "
            "one checkpoint into models/talkface, which Load DAE-Talker and Load LaDTalk then list. Cancel at any "
            "time: the next run goes on. Use footage only of people who have agreed to it.",
            inputs=[
                io.Video.Input(
                    "video",
                    tooltip="One person who speaks, near and frontal, in one light, before one camera, with the sound: "
                    "2 to 5 minutes are good, 10 seconds the least. Its end is not trained on but measured.",
                ),
                io.String.Input(
                    "name",
                    default="my_person",
                    tooltip="Name of the checkpoint and of the work's folder: letters, digits, - and _. The same name "
                    "with the same film goes on where it stood.",
                ),
                io.Float.Input(
                    "budget_minutes",
                    default=120.0,
                    min=0.1,
                    max=20160.0,
                    step=0.1,
                    tooltip="Time for all of it. Steps are measured on this machine first: as many are made as fit. "
                    "A larger number later trains on from what is there.",
                ),
                io.Combo.Input(
                    "face",
                    options=["only", "largest", "leftmost"],
                    default="only",
                    tooltip="Which face is trained on. only: footage with several people is refused.",
                ),
            ],
            outputs=[
                SPEECH2LATENT.Output(
                    display_name="speech2latent",
                    tooltip="Hears speech and says what this person's face does, for Talking Video.",
                ),
                DAE.Output(
                    display_name="dae", tooltip="Draws this person, for DAE Decode, DAE Encode or Talking Video."
                ),
                SOVQAE.Output(
                    display_name="sovqae",
                    tooltip="Restores this person's texture, for SOVQAE Enhance or the nodes that dub.",
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="What the footage is good for, what was trained, and numbers before and after: connect "
                    "Preview as Text.",
                ),
                io.Image.Output(
                    display_name="sheet", tooltip="Held-out faces: real, after the training, and before it."
                ),
            ],
            is_output_node=True,
            search_aliases=["train", "finetune", "own face", "personalise", "custom speaker", "talking head training"],
        )

    @classmethod
    def validate_inputs(cls, name: str | None) -> bool | str:
        """Names what is wrong with the name before anything runs; a linked one (None) is looked at later."""
        try:
            return name is None or bool(_named(name))
        except InputError as error:
            return str(error)

    @classmethod
    def execute(cls, video: Any, name: str, budget_minutes: float, face: str) -> io.NodeOutput:
        name = _named(name)
        progress = host.Progress(1000)
        host.make_way()
        # The host runs nodes in inference mode, whose tensors no gradient can pass.
        with torch.inference_mode(False), torch.enable_grad(), _file_of(video) as film:
            sheet, lines = _trained(film, name, 60 * budget_minutes, face, progress)
        host.say("\n".join(lines))
        written = host.new_checkpoint(name).name
        speech, drawing, _ = LoadDAETalker.execute(written, "auto").args
        _, texture = LoadLaDTalk.execute(written, "auto").args
        return io.NodeOutput(speech, drawing, texture, "\n".join(lines), host.handed_on(sheet))


def _trained(film: Path, name: str, budget: float, face: str, progress: host.Progress) -> tuple[Tensor, list[str]]:
    """The sheet of faces [1,H,W,3] and the report's lines."""
    from ..talkface_core.media.picture import read_picture
    from ..talkface_core.personalise.run import SHEET, personalise
    from ..talkface_core.personalise.settings import Settings
    from ..talkface_core.personalise.watching import Stopped

    watcher = _shown(progress)
    folder, settings = host.output_folder(FOLDER, name), Settings(budget=budget, face=face)
    place = "cuda" if host.device().type == "cuda" else "cpu"  # no other kind has been tried
    try:
        person = personalise([film], folder, host.new_checkpoint(name), settings, place, True, watcher)
    except Stopped:
        host.check_interrupt()
        raise
    picture = to_unit(torch.from_numpy(np.array(read_picture(folder / SHEET, "sheet"))))
    return picture[None], person.lines


def _shown(progress: host.Progress) -> Watcher:
    """What watches the work for a node: its bar, its preview, its text, and the cancel button."""
    from ..talkface_core.personalise.stages import bar_parts
    from ..talkface_core.personalise.watching import Watcher

    parts = bar_parts()

    class Shown(Watcher):
        """One bar over all stages, each with its share of it."""

        def __init__(self) -> None:
            self.part = (0.0, 0.0)

        def says(self, line: str) -> None:
            host.say(line)

        def stage(self, name: str, about: str) -> None:
            self.part = parts[name]
            self.advance(0.0)

        def advance(self, share: float) -> None:
            first, last = self.part
            progress.show(round(10 * (first + (last - first) * share)))

        def picture(self, picture: NDArray[np.uint8]) -> None:
            progress.show(progress.done, picture)

        def stop(self) -> bool:
            return progress.cancelled

    return Shown()


def _named(name: str) -> str:
    """A name that is no path and none of the bundled ones. Raises InputError."""
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise InputError(f"name {name[:80]!r}: give letters, digits, - and _, the first a letter or digit")
    if name in list_checkpoints():
        raise InputError(f"name {name!r} is that of a bundled checkpoint: give another")
    return name


@contextmanager
def _file_of(video: Any) -> Iterator[Path]:
    """A VIDEO as a file within the block: its own, or one in the temp folder for what is in memory or a part of one."""
    whole = isinstance(video, InputImpl.VideoFromFile) and not any(
        getattr(video, "get_active_trim_window", lambda: (0.0, 0.0))()
    )
    source = video.get_stream_source() if whole else None
    if isinstance(source, str | Path):
        yield Path(source)
        return
    path = host.temp_file(".mp4")
    try:
        if source is not None:
            path.write_bytes(source.getbuffer())
        else:
            video.save_to(str(path))
        yield path
    finally:
        path.unlink(missing_ok=True)
