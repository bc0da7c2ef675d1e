"""A converted Whisper as the ear of loaders: listed, loaded in the format that is asked for, heard by, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from talkface_core.acoustic.model import load_acoustic
from tests.acoustic.small_acoustic import small_acoustic
from tests.acoustic.small_ear import save_small_whisper
from tests.dae_talker.small import listening, save_small_talker
from tests.dae_talker.small_dubber import save_small_dubber
from tests.ladtalk.small_ladtalk import LISTENING, save_small_ladtalk
from tests.landmark_diffusion.small_landmark_diffusion import save_small_landmark_diffusion
from tests.see_the_speaker.small_motion import save_small_motion

from .inside import run_inside
from .server import Host

NAMES = ("landmarks", "motion", "lips", "talker")

SCRIPT = """
host, loaders = of_pack("nodes.host"), of_pack("nodes.loaders")
source, hearing = of_pack("talkface_core.media.source"), of_pack("talkface_core.ladtalk.hearing")
speaking = of_pack("talkface_core.dae_talker.hearing")
wave = 0.1 * torch.randn(1, 1, 16000, generator=torch.Generator().manual_seed(0))

def heard(loader, checkpoint, which, **more):
    made = loader.execute(checkpoint, "bfloat16", **more).result[which]
    network = host.load(made)
    sound = source.MemoryAudio(wave, 16000)
    if loader is loaders.LoadLaDTalk:
        rows = hearing.listen(network, sound, 25).at(range(25))
    elif loader is loaders.LoadDAETalker:
        rows = torch.cat(list(speaking.listen(network, sound).features))
    else:
        rows = torch.cat(list(network.listen(sound)))
    kind = None if network.ear is None else str(network.ear.encoder.first.weight.dtype)
    return rows, kind

def refusal(*given, loader=loaders.LoadLandmarkDiffusion, **more):
    try:
        loader.execute(*given, **more)
    except Exception as error:
        return str(error)

told = {}
for name, loader, checkpoint, which in (
    ("landmarks", loaders.LoadLandmarkDiffusion, "landmarks.safetensors", 0),
    ("motion", loaders.LoadSeeTheSpeaker, "motion.safetensors", 1),
    ("lips", loaders.LoadLaDTalk, "lips.safetensors", 0),
    ("talker", loaders.LoadDAETalker, "talker.safetensors", 0),
):
    schema = loader.define_schema()
    options = next(one for one in schema.inputs if one.id == "ear").options
    own, none = heard(loader, checkpoint, which)
    other, kind = heard(loader, checkpoint, which, ear=f"of_{name}.safetensors")
    told[name] = [options, none, kind, own.shape == other.shape, float((own - other).abs().max())]
prints = [loaders.LoadLandmarkDiffusion.fingerprint_inputs("landmarks.safetensors", **more)
          for more in ({}, {"ear": "bundled"}, {"ear": "of_landmarks.safetensors"})]
def blocks(**more):
    made = loaders.LoadLandmarkDiffusion.execute("landmark_tiny", "bfloat16", **more).result[0]
    ear = host.load(made).ear
    return None if ear is None else [ear.encoder.config.blocks, str(ear.encoder.first.weight.dtype)]
told["blocks"] = [blocks(), blocks(ear="none")]
of_pack("nodes.ears").list_checkpoints = dict  # as where somebody removed the file
told["blocks"].append(blocks())
report({**told, "prints": prints, "foreign": refusal("landmarks.safetensors", "auto", ear="narrow.safetensors"),
        "missing": refusal("landmarks.safetensors", "auto", ear="../x.safetensors"),
        "dubber": refusal("dubber.safetensors", "auto", loader=loaders.LoadDAETalker, ear="narrow.safetensors")})
"""


@pytest.fixture(scope="module")
def found(host: Host, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    base = tmp_path_factory.mktemp("ear")
    models = base / "models" / "talkface"
    models.mkdir(parents=True)
    save_small_landmark_diffusion(models / "landmarks.safetensors")
    save_small_motion(models / "motion.safetensors")
    save_small_ladtalk(models / "lips.safetensors", config=LISTENING)
    acoustic = small_acoustic()
    save_small_talker(models / "talker.safetensors", speech2latent=listening(acoustic), acoustic=acoustic)
    save_small_dubber(models / "dubber.safetensors")
    for name in NAMES:
        save_small_whisper(models / f"of_{name}.safetensors", load_acoustic(models / f"{name}.safetensors"))
    save_small_whisper(models / "narrow.safetensors")
    return run_inside(host, pack, base, SCRIPT)


@pytest.mark.parametrize("name", NAMES)
def test_loaders_hear_by_a_converted_whisper(found: dict[str, Any], name: str) -> None:
    options, without, kind, same, away = found[name]
    assert options[:2] == ["bundled", "none"]
    assert {*(f"of_{one}.safetensors" for one in NAMES), "narrow.safetensors"} == set(options[2:])
    assert (without, kind, same) == (None, "torch.bfloat16", True)
    assert away > 0.1


def test_the_bundled_ear_hears_for_the_bundled_checkpoint(found: dict[str, Any]) -> None:
    assert found["blocks"] == [[2, "torch.bfloat16"], None, None]


def test_what_does_not_fit_is_told(found: dict[str, Any]) -> None:
    assert "this Whisper gives 16 values a step, the ear reads 512: bring Whisper base" in found["foreign"]
    assert "is not there" in found["missing"]
    assert "dubber hears what Dub Video (DAE-Talker) is given; choose bundled as ear" in found["dubber"]
    assert found["prints"][0] == found["prints"][1] != found["prints"][2]
