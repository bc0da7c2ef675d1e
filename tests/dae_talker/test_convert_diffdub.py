"""Conversion of DiffDub's public checkpoints: one whole inference gives equal numbers, every other file is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from talkface_core.checkpoints import CheckpointError
from talkface_core.dae_talker.convert import convert_diffae
from talkface_core.dae_talker.convert_diffdub import convert_diffdub, read_speech2lips, recognises
from talkface_core.dae_talker.decode import decode, noise_from_seed
from talkface_core.dae_talker.model import load_dae_talker, load_dubber, read_dubber
from talkface_core.dae_talker.speech2lips import Speech2Lips, Speech2LipsConfig, lip_latents
from talkface_core.errors import InputError
from tests.dae_talker.diffdub_golden import EVERY, SMALL, load
from tests.dae_talker.small_diffdub import States, dubbed, files, states_of
from tests.dae_talker.test_convert import lightning


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return load()


@pytest.fixture(scope="module")
def states(golden: dict[str, Any]) -> States:
    return states_of(golden)


@pytest.fixture(scope="module")
def stages(states: States, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return files(tmp_path_factory.mktemp("published"), states)


@pytest.fixture(scope="module")
def converted(stages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_diffdub(stages[::-1], tmp_path_factory.mktemp("ours") / "diffdub.safetensors")


def relative_error(got: Tensor, wanted: list[float]) -> float:
    wanted = torch.tensor(wanted)
    return ((got.flatten() - wanted).norm() / wanted.norm()).item()


def test_a_whole_inference_is_the_public_programs(golden: dict[str, Any], converted: Path) -> None:
    model = load_dubber(converted, "cpu", torch.float32)
    lips, said, painted = dubbed(model.autoencoder, model.speech, SMALL)
    # Rounding makes 2e-6.
    assert relative_error(lips, golden["lips"]) < 1e-5
    assert relative_error(said, golden["said"]) < 1e-5
    assert relative_error(painted.flatten()[::EVERY], golden["painted"]) < 1e-4


@pytest.mark.parametrize(("dtype", "most"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_halves_stay_near(converted: Path, dtype: torch.dtype, most: float) -> None:
    whole, half = (load_dubber(converted, "cpu", kind) for kind in (torch.float32, dtype))
    assert half.dtype == dtype
    once = replace(SMALL, frames=1, evaluations=1)
    wanted = dubbed(whole.autoencoder, whole.speech, once)[2]
    error = (dubbed(half.autoencoder, half.speech, once)[2] - wanted).norm() / wanted.norm()
    assert 0 < error < most


def test_the_published_layout_is_base(golden: dict[str, Any]) -> None:
    with torch.device("meta"):
        ours = Speech2Lips(Speech2LipsConfig.preset("base"))
    theirs = {
        key: shape for key, shape in golden["stage2_full"].items() if "running_" not in key and "num_b" not in key
    }
    counted = sum(torch.Size(shape).numel() for shape in theirs.values())
    # Theirs has two layers that nothing calls; our norms of convolutions are within these.
    unused = 512 * 512 + 512 + 2 * 512
    assert sum(weight.numel() for weight in ours.parameters()) == counted - unused - 10 * 2 * 512


def test_every_weight_of_the_speech_side_is_felt(stages: list[Path]) -> None:
    net = read_speech2lips(stages[1]).requires_grad_(True)
    features = torch.randn(1, 9, SMALL.features, generator=torch.Generator().manual_seed(0))
    out = net(features, net.refer(torch.ones(1, 5, SMALL.latent) * torch.arange(5)[None, :, None]))
    (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
    for name, parameter in net.named_parameters():
        # The layers' weights are applied before; attention ignores what all keys share.
        if name != "layers" and not name.endswith(("qkv.bias", "key.bias")):
            assert parameter.grad.norm() * parameter.norm() > 1e-5 * out.norm(), name


def test_windows_meet(stages: list[Path]) -> None:
    """The convolution hears over the edges of windows; with nothing but it left, windowed and whole are equal."""
    net = read_speech2lips(stages[1])
    net.encoder.blocks, net.decoder.blocks = torch.nn.ModuleList(), torch.nn.ModuleList()
    features = torch.randn(40, SMALL.features, generator=torch.Generator().manual_seed(0))
    references = torch.ones(3, SMALL.latent)
    (whole,) = lip_latents(net, [features], references, 20)
    parts = torch.cat(list(lip_latents(net, features.split(7), references, 20, window=6, overlap=2)))
    assert torch.allclose(parts, whole, rtol=1e-5, atol=1e-4)
    twice = torch.cat(list(lip_latents(net, [features], references, 40, 50)))
    assert torch.allclose(twice[1::2][:19], torch.lerp(whole[:-1], whole[1:], 0.25), rtol=1e-5, atol=1e-4)


def test_what_it_says_of_itself(converted: Path) -> None:
    checkpoint = read_dubber(converted)
    assert checkpoint.provenance["file"] == "stage1_state_dict.ckpt, stage2_state_dict.ckpt"
    for word in ("Apache-2.0", "HDTF", "FFHQ", "CC BY-NC-SA"):
        assert word in checkpoint.provenance["licence"]
    assert "draws no whole frames" in checkpoint.provenance["limits"]
    assert set(checkpoint.configs) == {"autoencoder", "speech2lips"}


def test_it_draws_no_whole_frames(converted: Path) -> None:
    with pytest.raises(CheckpointError, match=r"diffdub\.safetensors.*repaints mouths.*dub --system dae-talker"):
        load_dae_talker(converted)
    model = load_dubber(converted, "cpu")
    with pytest.raises(InputError, match="repaints mouths beside a reference: use it with Dub Video"):
        next(decode(model.autoencoder, torch.zeros(1, 32), noise_from_seed(model.autoencoder, 0)))


def test_one_speaker_dubs_nobody() -> None:
    with pytest.raises(CheckpointError, match=r"dae_talker_tiny.*draws one speaker whole.*models --convert stage1"):
        load_dubber("dae_talker_tiny")


def refused(out: Path, given: list[Path], *words: str) -> None:
    with pytest.raises(InputError) as caught:
        convert_diffdub(given, out)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    assert not out.exists()


def test_other_files(stages: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert [recognises(path) for path in stages] == [1, 2]
    refused(out, stages[:1], "without stage2_state_dict.ckpt", "give both")
    refused(out, stages[1:], "without stage1_state_dict.ckpt", "give both")
    refused(out, [stages[0], stages[0]], "a second time")
    plain = lightning(tmp_path / "last.ckpt", {"out.2.weight": torch.zeros(3, 32, 3, 3)})
    refused(out, [plain, stages[1]], "last.ckpt", "neither of DiffDub's stages")
    assert recognises(plain) is None
    with pytest.raises(InputError, match=r"stage 1 of DiffDub.*models --convert stage1.*stage2"):
        convert_diffae(stages[0], out)


def test_other_weights(states: States, tmp_path: Path) -> None:
    out, inside = tmp_path / "out.safetensors", "seq2seq.encoder."
    refused(out, files(tmp_path, states, **{f"{inside}weights": None}), "stage2", "MFCCs")
    refused(out, files(tmp_path, states, **{f"{inside}cross_attention.norm1.bias": None}), "no weights for 'norm.bias'")
    norm = f"{inside}coarse_decoder.encoders.3.conv_module.norm.running_var"
    refused(out, files(tmp_path, states, **{norm: None}), "stage2", "running_var")
    wide = {"ema_model.input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}
    refused(out, files(tmp_path, states, **wide), "stage1", "shown 6 channels")
    other = files(tmp_path, states)
    strange = {**states[1], f"{inside}mystery.weight": torch.zeros(3)}
    torch.save({"state_dict": strange}, other[1])
    refused(out, other, "mystery.weight")
