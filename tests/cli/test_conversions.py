"""Public files go to the converter of what they hold, whatever they are called; the rest is refused in one line."""

import json
from pathlib import Path

import pytest
import torch

from talkface_core.checkpoints import list_checkpoints
from talkface_core.cli.conversions import convert
from talkface_core.dae_talker import convert as diffae
from talkface_core.errors import InputError
from talkface_core.ladtalk import convert as wav2lip
from talkface_core.landmark_diffusion import convert as completion
from talkface_core.see_the_speaker import convert_joyvasa as joyvasa
from talkface_core.see_the_speaker import convert_liveportrait as liveportrait
from tests.see_the_speaker.joyvasa_golden import load, weights
from tests.see_the_speaker.test_convert_joyvasa import public_file, template_file

CONVERTERS = {
    "convert_diffae": diffae,
    "convert_wav2lip": wav2lip,
    "convert_completion": completion,
    "convert_joyvasa": joyvasa,
    "convert_liveportrait": liveportrait,
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What reaches a converter, in place of converting."""
    calls: list[tuple] = []

    def listening(name: str):
        def listen(*given):
            calls.append((name, *given))
            return given[-1]

        return listen

    for name, module in CONVERTERS.items():
        monkeypatch.setattr(module, name, listening(name))
    return calls


@pytest.fixture
def public(tmp_path: Path) -> dict[str, Path]:
    """Files that hold the names by which each is recognised, under names that tell nothing."""
    states = {
        "wav2lip": ("face_decoder_blocks.0.0.conv_block.0.weight", "output_block.1.weight"),
        "completion": ("mouse_keypoint_map.weight",),
        "joyvasa": ("denoising_net.feature_proj.weight",),
        "liveportrait": (next(iter(liveportrait._MARKS.values())),),
        "diffae": ("something.else",),
    }
    files = {}
    for number, (kind, names) in enumerate(states.items()):
        files[kind] = tmp_path / f"{number}.bin"
        state = {name: torch.zeros(1) for name in names}
        torch.save({"model": state} if kind == "joyvasa" else {"state_dict": state}, files[kind])
    torch.save(dict.fromkeys(states["liveportrait"], torch.zeros(1)), files["liveportrait"])
    files["template"] = template_file(tmp_path / "9.bin")
    return files


@pytest.mark.parametrize(
    ("given", "converter"),
    [
        (("diffae",), "convert_diffae"),
        (("wav2lip",), "convert_wav2lip"),
        (("completion",), "convert_completion"),
        (("liveportrait",), "convert_liveportrait"),
        (("diffae", "liveportrait"), "convert_liveportrait"),
        (("joyvasa", "template"), "convert_joyvasa"),
        (("template", "joyvasa"), "convert_joyvasa"),
    ],
)
def test_files_reach_their_converter(asked, public, tmp_path, given, converter):
    """LivePortrait's with all that was given, in its order; JoyVASA's generator before its template."""
    out, files = tmp_path / "out.safetensors", [public[name] for name in given]
    assert convert([str(file) for file in files], out) == out
    ((name, *arguments),) = asked
    assert name == converter
    if name == "convert_liveportrait":
        assert arguments == [files, out]
    else:
        assert arguments == [*sorted(files, key=lambda file: file == public["template"]), out]


def test_a_folder_is_liveportraits(asked, tmp_path):
    convert([str(tmp_path)], tmp_path / "out.safetensors")
    assert asked == [("convert_liveportrait", tmp_path, tmp_path / "out.safetensors")]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("joyvasa",), "give it and its motion_template.pkl, two files"),
        (("joyvasa", "template", "diffae"), "give it and its motion_template.pkl, two files"),
        (("joyvasa", "joyvasa"), "give it and its motion_template.pkl, two files"),
        (("wav2lip", "completion"), "these do not make one model"),
        (("diffae", "template"), "these do not make one model"),
    ],
)
def test_what_makes_no_model_together(asked, public, tmp_path, given, words):
    with pytest.raises(InputError, match=words):
        convert([str(public[name]) for name in given], tmp_path / "out.safetensors")
    assert not asked


def test_what_is_no_public_file(tmp_path):
    """No converter's own file is expected, as nothing says which was meant; a checkpoint of ours is told apart."""
    text, cut, out = tmp_path / "text.md", tmp_path / "cut.safetensors", tmp_path / "out.safetensors"
    ours = list_checkpoints()["whisper_ear"]
    text.write_text("words")
    cut.write_bytes(ours.read_bytes()[:5000])
    for file in (text, cut, tmp_path / "nowhere.pth", tmp_path / "nowhere.safetensors"):
        with pytest.raises(InputError, match=r"expected (a public checkpoint|the whole file)"):
            convert([str(file)], out)
    with pytest.raises(InputError, match="converted checkpoint already, of whisper_ear; use it as it is"):
        convert([str(ours)], out)
    assert not out.exists()


def test_a_conversion_on_the_command_line(talkface, tmp_path):
    """A small generator of JoyVASA's layout: the checkpoint is described, its licence said, and `models` reads it."""
    generator = public_file(tmp_path / "generator.pt", weights(load()["shapes"]))
    template, out = template_file(tmp_path / "template.pkl"), tmp_path / "motion.safetensors"
    ended = talkface("models", "--convert", template, generator, "-o", out)
    assert (ended.status, ended.out) == (0, "")
    assert f"{out}: written; licence of the weights: MIT" in ended.err
    told = json.loads(talkface("models", "--convert", generator, template, "-o", out, "--json").out)
    assert (told["output"], told["system"], [*told["components"]]) == (str(out), "see_the_speaker", ["motion"])
    described = json.loads(talkface("models", out).out)
    assert described["problem"] is None
    assert described["parameters"] == told["parameters"] > 0
