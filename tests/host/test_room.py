"""What does not fit into memory is refused before any work, with the numbers and what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .inside import run_inside
from .media import talk
from .server import Host, environment

SCRIPT = """
import asyncio, sys
pack, base = sys.argv[1:]
sys.argv = ["main.py", "--cpu", "--disable-api-nodes", "--base-directory", base]
import comfy.options
comfy.options.enable_args_parsing()
import utils.extra_config
import comfy.model_management, nodes, server
asyncio.run(nodes.load_custom_node(pack))
comfy.model_management.get_free_memory = lambda *device: 2**20
load = nodes.NODE_CLASS_MAPPINGS["TalkFaceLoadAudio"]
print("MARK", load.execute("talk.wav", 0.0, 1.0)[1])
try:
    load.execute("talk.wav", 0.0, 0.0)
except Exception as error:
    print("MARK", error)
"""


def test_a_sound_that_does_not_fit_is_refused(host: Host, pack: Path, tmp_path: Path) -> None:
    for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
        (tmp_path / name).mkdir()
    talk(tmp_path / "input" / "talk.wav", 60.0)
    words = [str(host.python), "-c", SCRIPT, str(pack), str(tmp_path)]
    done = subprocess.run(words, cwd=host.path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    length, error = (line.removeprefix("MARK ") for line in done.stdout.splitlines() if line.startswith("MARK"))
    assert float(length) == 1.0
    assert error.startswith("the first ")
    assert error.endswith("0.0 GiB are free: give a shorter duration")


GOAL = """
mm.get_free_memory = lambda *device: 2**20
track = of_pack("talkface_core.faces.track").FaceTrack(torch.rand(50, 68, 2) * 200, torch.ones(50), (256, 256), 25)
host = of_pack("nodes.host")
host.load = lambda *_: report({"said": "it listened"})
component = host.Component(None, "none", None, {})
audio = {"waveform": torch.zeros(1, 1, 32000), "sample_rate": 16000}
for execute, given in ((NODES["LandmarkComplete"].execute, (component, track, audio, "bounce", 1.0, 0.0, 1)),
                       (NODES["AdjustMouth"].execute, (track, 0.5, 0.0, 0, 1))):
    try:
        execute(*given)
    except Exception as error:
        said = str(error)
report({"said": said})
"""


def test_a_preview_that_does_not_fit_is_refused_before_anything_is_heard(
    host: Host, pack: Path, tmp_path: Path
) -> None:
    said = run_inside(host, pack, tmp_path, GOAL)["said"]
    assert said.startswith("50 frames of 256 x 256 need")
    assert said.endswith("raise preview_every, or give a shorter sound")
