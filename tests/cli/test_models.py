"""`models`: lists, describes and converts."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from talkface_core import checkpoints
from talkface_core.components import Component, build, table
from talkface_core.config import Config
from tests.dae_talker.small import save_small_talker


@pytest.fixture
def bundled(monkeypatch, tmp_path):
    """A folder that stands for the bundled weights."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    monkeypatch.setattr(checkpoints, "PRETRAINED", folder)
    return folder


def test_the_list_names_models_and_their_numbers(talkface, bundled):
    assert talkface("models").out.startswith("no bundled models\n")
    save_small_talker(bundled / "nobody.safetensors")
    ended = talkface("models")
    assert (ended.status, ended.err) == (0, "")
    assert [ended.out.split()[k] for k in (0, 1)] == ["nobody", "dae_talker"]
    assert "Apache-2.0" in ended.out
    assert max(map(len, ended.out.split("\n\n")[0].splitlines())) <= 120
    told = json.loads(talkface("models", "--json").out)
    listed = told["models"]
    assert {weights["name"] for weights in told["public"]} >= {"liveportrait", "wav2lip"}
    assert [model["name"] for model in listed] == ["nobody"]
    assert listed[0]["parameters"] == sum(listed[0]["components"].values())


def test_one_model_is_described_by_name_or_file(talkface, bundled, small_checkpoint):
    save_small_talker(bundled / "nobody.safetensors", gate=None)
    by_name = json.loads(talkface("models", "nobody", "--json").out)
    by_file = json.loads(talkface("models", small_checkpoint).out)
    assert by_name["components"].keys() == {"autoencoder", "speech2latent"}
    assert by_file["components"].keys() == {"autoencoder", "speech2latent", "gate"}
    assert by_file["configs"]["autoencoder"]["prediction"] == "v"
    assert by_file["provenance"]["data"] == "none"
    assert by_file["problem"] is None


def test_what_would_not_load_is_said(talkface, tmp_path):
    path, net = tmp_path / "net.safetensors", torch.nn.Linear(1, 1)
    for system, name, config, words in (
        ("sync", "syncnet", {"wings": 2}, "unreadable settings of 'syncnet' (wings is unknown"),
        ("sync", "ears", {}, "holds 'ears', which is none of syncnet"),
        (
            "opera",
            "voice",
            {},
            "the system 'opera' is none of dae_talker, ladtalk, landmark_diffusion, see_the_speaker, sync, "
            "sync_evaluator, faces, landmark-probe",
        ),
    ):
        checkpoints.save_checkpoint(path, system, {name: net}, {name: config}, {})
        assert words in json.loads(talkface("models", path).out)["problem"]


@pytest.mark.parametrize(
    ("name", "spoilt", "found"),
    [
        ("lips.weight:scale", None, "lips.weight of torch.int8 without its scales"),
        ("lips.weight:scale", torch.full((64,), torch.nan), "NaN or infinite weights in lips.weight"),
        ("lips.bias", torch.full((64,), torch.inf), "NaN or infinite weights in lips.bias"),
        ("lips.bias", torch.zeros(64, dtype=torch.int32), "lips.bias of torch.int32"),
    ],
)
def test_weights_that_would_not_load_are_said_as_loading_says_it(talkface, tmp_path, monkeypatch, name, spoilt, found):
    lips = Component("lips", Config, lambda config, layers: layers.Linear(64, 64))
    monkeypatch.setattr("talkface_core.ladtalk.model.COMPONENTS", table(lips))
    path = tmp_path / "net.safetensors"
    checkpoints.save_checkpoint(path, "ladtalk", {"lips": torch.nn.Linear(64, 64)}, {"lips": {}}, {}, None, ("lips",))
    assert json.loads(talkface("models", path).out)["problem"] is None
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors | ({name: spoilt} if spoilt is not None else {}), path, metadata)
    with pytest.raises(checkpoints.CheckpointError) as loading:
        build(checkpoints.read_checkpoint(path), lips)
    problem = json.loads(talkface("models", path).out)["problem"]
    assert problem == str(loading.value)
    assert found in problem


@pytest.mark.parametrize("name", checkpoints.list_checkpoints())
def test_nothing_speaks_against_what_is_bundled(talkface, name):
    assert json.loads(talkface("models", name).out)["problem"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("nobody", "nobody: found no such file"),
        ("-o {tmp}/x.safetensors", "-o belongs to --convert and --fetch"),
        ("--convert {tmp}/last.ckpt", "needs -o OUT.safetensors"),
        ("--convert {tmp}/last.ckpt -o {tmp}/missing/x.safetensors", "missing does not exist"),
        ("--convert {tmp}/last.ckpt -o {tmp}/x.pt", "ends in .safetensors, not '.pt'"),
        ("--convert {tmp}/last.ckpt -o {tmp}/last.ckpt", "is the file to convert, which would be lost"),
        ("--convert {tmp}/none.ckpt -o {tmp}/x.safetensors", "none.ckpt"),
        ("--convert {tmp}/last.ckpt -o {tmp}/x.safetensors", "last.ckpt"),
        ("ada --convert {tmp}/last.ckpt -o {tmp}/x.safetensors", "what is 'ada' for?"),
    ],
)
def test_what_goes_wrong_is_one_line_and_no_file(talkface, tmp_path, flags, message):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "last.ckpt")
    ended = talkface("models", *flags.format(tmp=tmp_path).split())
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not ended.out
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_wav2lip_s_files_are_recognised(talkface, tmp_path):
    """By their names alone: a file of the wrong sizes reaches Wav2Lip's converter and is refused there."""
    names = ("face_decoder_blocks.0.0.conv_block.0.weight", "output_block.1.weight")
    torch.save({"state_dict": {f"module.{name}": torch.zeros(1) for name in names}}, tmp_path / "wav2lip.pth")
    ended = talkface("models", "--convert", tmp_path / "wav2lip.pth", "-o", tmp_path / "out.safetensors")
    assert ended.status == 2
    assert "Wav2Lip" in ended.err
    assert "non-commercial" in talkface("models", "--help").out
