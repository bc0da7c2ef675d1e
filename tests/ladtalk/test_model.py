"""LaDTalk's checkpoint: whole, without texture or gate, wrong; and number formats."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from talkface_core import checkpoints
from talkface_core.checkpoints import CheckpointError, read_checkpoint, save_checkpoint
from talkface_core.errors import InputError
from talkface_core.ladtalk.model import build_wav2lip_model, hearing_of, load_ladtalk
from tests.acoustic.small_acoustic import small_acoustic
from tests.ladtalk.small_ladtalk import LISTENING, SMALL, save_small_ladtalk, small_gate, small_wav2lip


def test_a_whole_checkpoint(tmp_path):
    model = load_ladtalk(save_small_ladtalk(tmp_path / "small.safetensors"), "cpu", torch.float32)
    assert (model.path.stem, model.device.type, model.dtype) == ("small", "cpu", torch.float32)
    assert model.provenance["licence"] == "Apache-2.0"
    assert model.lips.wav2lip.config == SMALL
    assert model.sovqae is not None
    assert not model.lips.training
    assert not any(p.requires_grad for p in model.lips.parameters())
    windows = torch.randn(2, 1, 80, 16)
    faces = torch.rand(2, 3, 24, 24)
    torch.testing.assert_close(model.lips.wav2lip(faces, faces, windows), small_wav2lip()(faces, faces, windows))
    mel = torch.randn(1, 50, 80)
    torch.testing.assert_close(model.lips.gate(mel), small_gate()(mel))


@pytest.mark.parametrize("missing", ["sovqae", "gate"])
def test_texture_and_gate_may_be_missing(tmp_path, missing):
    model = load_ladtalk(save_small_ladtalk(tmp_path / "small.safetensors", missing), "cpu")
    assert (model.sovqae is None, model.lips.gate is None) == (missing == "sovqae", missing == "gate")


def test_texture_may_come_from_another_checkpoint(tmp_path):
    speech = save_small_ladtalk(tmp_path / "speech.safetensors", "sovqae", "gate")
    own = save_small_ladtalk(tmp_path / "own.safetensors", "wav2lip", "gate")
    model = load_ladtalk(speech, "cpu", sovqae=own)
    assert model.path == speech
    assert model.sovqae is not None
    with pytest.raises(CheckpointError, match=r"speech\.safetensors: holds no 'sovqae'"):
        load_ladtalk(speech, "cpu", sovqae=speech)


def test_the_networks_take_a_dtype_and_the_gate_stays_exact(tmp_path):
    model = load_ladtalk(save_small_ladtalk(tmp_path / "small.safetensors"), "cpu", torch.bfloat16)
    assert model.dtype == torch.bfloat16
    texture = model.sovqae
    assert {p.dtype for p in (*texture.encoder.parameters(), *texture.decoder.parameters())} == {torch.bfloat16}
    assert {v.dtype for v in texture.quantiser.state_dict().values()} == {torch.float32}
    assert {p.dtype for p in model.lips.gate.parameters()} == {torch.float32}


def test_parts_are_built_of_other_layers(tmp_path):
    class Layers:
        Conv2d, ConvTranspose2d, Linear = (
            type(k.__name__, (k,), {}) for k in (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
        )

    checkpoint = read_checkpoint(save_small_ladtalk(tmp_path / "small.safetensors"))
    lips = build_wav2lip_model(checkpoint, Layers)
    layers = [m for m in lips.wav2lip.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert layers
    assert all(isinstance(m, (Layers.Conv2d, Layers.ConvTranspose2d)) for m in layers)


def test_what_is_no_ladtalk_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"empty\.safetensors: holds no 'wav2lip', only sovqae, gate"):
        load_ladtalk(save_small_ladtalk(tmp_path / "empty.safetensors", "wav2lip"), "cpu")
    save_checkpoint(tmp_path / "other.safetensors", "faces", {"n": nn.Linear(1, 1)}, {"n": {}}, {})
    with pytest.raises(CheckpointError, match="'faces'; expected the system 'ladtalk'"):
        load_ladtalk(tmp_path / "other.safetensors", "cpu")
    with pytest.raises(InputError, match="'tpu' is unknown"):
        load_ladtalk(save_small_ladtalk(tmp_path / "small.safetensors"), "tpu")


def test_settings_of_the_gate_that_make_no_sense(tmp_path):
    net = small_wav2lip()
    save_checkpoint(
        tmp_path / "gate.safetensors",
        "ladtalk",
        {"wav2lip": net, "gate": small_gate()},
        {"wav2lip": net.config.to_dict(), "gate": {"widths": 8}},
        {},
    )
    with pytest.raises(CheckpointError, match="unreadable settings of 'gate'"):
        build_wav2lip_model(read_checkpoint(tmp_path / "gate.safetensors"))


def test_a_wav2lip_that_listens_needs_its_acoustic_model(tmp_path):
    net, acoustic = small_wav2lip(config=LISTENING), small_acoustic()
    parts = {"wav2lip": net, "acoustic": acoustic}
    for name, held in (
        ("whole", parts),
        ("deaf", {"wav2lip": net}),
        ("other", {**parts, "acoustic": small_acoustic(width=32)}),
    ):
        configs = {key: part.config.to_dict() for key, part in held.items()}
        save_checkpoint(tmp_path / f"{name}.safetensors", "ladtalk", held, configs, {})
    assert (
        load_ladtalk(tmp_path / "whole.safetensors", "cpu", torch.bfloat16).lips.acoustic.viseme.weight.dtype
        == torch.float32
    )
    with pytest.raises(CheckpointError, match="16 values a frame, found none"):
        load_ladtalk(tmp_path / "deaf.safetensors", "cpu")
    with pytest.raises(CheckpointError, match="found one of 32 values"):
        load_ladtalk(tmp_path / "other.safetensors", "cpu")


def test_a_wav2lip_hears_by_the_acoustic_model_that_it_names(tmp_path, monkeypatch):
    bundled = tmp_path / "pretrained"
    bundled.mkdir()
    monkeypatch.setattr(checkpoints, "PRETRAINED", bundled)
    acoustic = small_acoustic()
    save_checkpoint(
        bundled / "ears.safetensors", "acoustic", {"acoustic": acoustic}, {"acoustic": acoustic.config.to_dict()}, {}
    )
    for name in ("ears", "nobody"):
        net = small_wav2lip(config=replace(LISTENING, acoustic_of=name))
        save_checkpoint(
            tmp_path / f"{name}.safetensors", "ladtalk", {"wav2lip": net}, {"wav2lip": net.config.to_dict()}, {}
        )
    checkpoint = read_checkpoint(tmp_path / "ears.safetensors")
    for heard in (build_wav2lip_model(checkpoint).acoustic, hearing_of(checkpoint, net.config)[0]):
        assert torch.equal(heard.viseme.weight, acoustic.viseme.weight)
    with pytest.raises(
        CheckpointError, match=r"nobody\.safetensors: it hears by .* no bundled checkpoint of that name"
    ):
        build_wav2lip_model(read_checkpoint(tmp_path / "nobody.safetensors"))
