"""Conversion of public DiffAE checkpoints: equal numbers, the published layout, and every other file refused."""

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from talkface_core.checkpoints import read_checkpoint
from talkface_core.dae_talker.autoencoder import AutoencoderConfig, DiffusionAutoencoder
from talkface_core.dae_talker.convert import convert_diffae, read_diffae
from talkface_core.diffusion.sampling import get_sampler
from talkface_core.diffusion.schedules import timesteps
from talkface_core.errors import InputError
from tests.dae_talker.diffae_golden import SAMPLING_STEPS, SMALL, inputs, load, weights

State = dict[str, Tensor]
SETTINGS = {"net_beatgans_attn_head": SMALL["num_heads"], "data_name": "ffhqlmdb256", "beta_scheduler": "linear"}


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return load()


@pytest.fixture(scope="module")
def blank(golden: dict[str, Any]) -> State:
    """The small layout's keys and shapes in next to no memory."""
    return {key: torch.zeros(()).expand(shape) for key, shape in golden["small"]["shapes"].items()}


@pytest.fixture(scope="module")
def small(golden: dict[str, Any]) -> State:
    return weights(golden["small"]["shapes"])


def lightning(path: Path, averaged: State, x_T: Tensor | None = None, **more: Any) -> Path:
    """A file as DiffAE's training writes it: both sets of weights, buffers, settings, the optimiser."""
    torch.save(
        {
            "epoch": 3,
            "global_step": 1234,
            "state_dict": {
                **{f"model.{key}": torch.zeros(()).expand(value.shape) for key, value in averaged.items()},
                **{f"ema_model.{key}": value for key, value in averaged.items()},
                "x_T": torch.zeros(1, 3, 16, 16) if x_T is None else x_T,
                "conds_mean": torch.zeros(1, 40),
            },
            "optimizer_states": [{"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}}],
            "hyper_parameters": SETTINGS,
            **more,
        },
        path,
    )
    return path


def loaded(path: Path) -> DiffusionAutoencoder:
    checkpoint = read_checkpoint(path, "dae_talker")
    config = AutoencoderConfig.from_dict(checkpoint.configs["autoencoder"])
    return checkpoint.load_into(DiffusionAutoencoder(config), "autoencoder").eval()


def relative_error(got: Tensor, wanted: list[float]) -> float:
    wanted = torch.tensor(wanted)
    return ((got.flatten() - wanted).norm() / wanted.norm()).item()


def refused(path: Path, *words: str, out: Path | None = None) -> str:
    """The one line that refuses the file; nothing is left behind."""
    before = set(path.parent.iterdir())
    with pytest.raises(InputError) as caught:
        convert_diffae(path, out)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in (path.name, "found", "expected", *words)), message
    assert set(path.parent.iterdir()) == before
    return message


@torch.no_grad()
def test_equal_to_the_public_code(tmp_path: Path, golden: dict[str, Any], small: State) -> None:
    net = loaded(convert_diffae(lightning(tmp_path / "last.ckpt", small), tmp_path / "net.safetensors"))
    pictures, noisy, t = inputs(SMALL["image_size"])
    wanted = golden["small"]
    z = net.encode(pictures)
    # Rounding makes 1e-6; another epsilon in GroupNorm would make 3e-5, any other slip 1e-2 and more.
    assert relative_error(z, wanted["latents"]) < 1e-5
    assert relative_error(net(noisy, t, z), wanted["eps"]) < 1e-5
    ts = timesteps(net.config.schedule, SAMPLING_STEPS, net.config.sampling.spacing)
    sample = get_sampler(net.config.sampling.sampler)(net.denoiser(z), noisy, net.config.schedule, ts)
    assert relative_error(sample, wanted["sample"]) < 1e-4


def test_the_golden_numbers_feel_every_weight(small: State, tmp_path: Path) -> None:
    """A weight in the wrong place would show: each tensor matters to the outputs that the golden file holds."""
    config, state, _ = read_diffae(lightning(tmp_path / "last.ckpt", small))
    net = DiffusionAutoencoder(config).eval()
    net.load_state_dict(state)
    pictures, noisy, t = inputs(SMALL["image_size"])
    eps = net(noisy, t, net.encode(pictures))
    (eps * torch.linspace(-1, 1, eps.numel()).reshape(eps.shape)).sum().backward()
    for name, parameter in net.named_parameters():
        # Attention ignores what all keys share, so a bias of q, k, v says little; nothing else may.
        if not name.endswith("qkv.bias"):
            assert parameter.grad.norm() * parameter.norm() > 1e-3 * eps.norm(), name


def test_the_ffhq256_layout_is_base(tmp_path: Path, golden: dict[str, Any]) -> None:
    # Tensors without storage of their own: the file with every key and shape of 168.5M weights is small.
    state = {key: torch.zeros(()).expand(shape) for key, shape in golden["ffhq256"].items()}
    path = lightning(tmp_path / "last.ckpt", state, torch.zeros(()).expand(32, 3, 256, 256), hyper_parameters={})
    config, converted, _ = read_diffae(path)
    assert config == AutoencoderConfig.preset("base")
    assert len(converted) == len(state) == 706
    assert sum(tensor.numel() for tensor in converted.values()) == 168_492_291


def test_the_averaged_weights_and_where_they_come_from(tmp_path: Path, small: State) -> None:
    path = lightning(tmp_path / "last.ckpt", small)
    config, state, provenance = read_diffae(path)
    assert torch.equal(state["unet.conv_out.weight"], small["out.2.weight"])
    assert config.image_size == 16
    assert config.latent_dim == config.unet.cond_dim == 40
    assert (config.unet.blocks_down, config.unet.blocks_up, config.unet.heads) == (1, 3, 2)
    assert (provenance["data"], provenance["steps"], provenance["file"]) == ("ffhqlmdb256", 1234, "last.ckpt")
    assert "MIT" in provenance["licence"]
    assert "phizaz/diffae" in provenance["source"]


def test_beside_the_input_and_smaller(tmp_path: Path, small: State) -> None:
    out = convert_diffae(lightning(tmp_path / "last.ckpt", small), dtype=torch.float16)
    assert out == tmp_path / "last.safetensors"
    states = read_checkpoint(out, "dae_talker").states["autoencoder"]
    assert {tensor.dtype for tensor in states.values()} == {torch.float16}
    loaded(out)


def test_a_bare_state_and_unused_weights(tmp_path: Path, small: State) -> None:
    bare = {f"ema_model.{key}": value.half() for key, value in small.items()}
    unused = {"ema_model.latent_net.layers.0.linear.weight": torch.zeros(3, 3), "x_T": torch.zeros(1, 3, 16, 16)}
    torch.save({**bare, **unused}, tmp_path / "clean.ckpt", _use_new_zipfile_serialization=False)
    _, state, _ = read_diffae(tmp_path / "clean.ckpt")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_callbacks_of_old_lightning(tmp_path: Path, blank: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning 1.4, which made the public file, keys its callbacks' states by class."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name})
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    path = lightning(tmp_path / "last.ckpt", blank, callbacks={module.ModelCheckpoint: {"monitor": None}})
    monkeypatch.undo()
    safe = set(torch.serialization.get_safe_globals())
    assert len(read_diffae(path)[1]) == len(blank)
    assert name not in sys.modules
    assert set(torch.serialization.get_safe_globals()) == safe


class Foreign:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def test_foreign_objects_are_never_unpickled(tmp_path: Path, blank: State) -> None:
    proof = tmp_path / "proof"
    path = lightning(tmp_path / "last.ckpt", blank, hyper_parameters=Foreign(proof))
    refused(path, "never unpickled", "(getattr)", "tensors and plain values only")
    assert not proof.exists()
    pickle.loads(pickle.dumps(Foreign(proof)))
    assert proof.exists(), "the trap itself must work"


def test_other_files(tmp_path: Path, blank: State) -> None:
    refused(tmp_path / "absent.ckpt", "no such file")
    folder = tmp_path / "folder.ckpt"
    folder.mkdir()
    refused(folder, "a folder")
    good = lightning(tmp_path / "good.ckpt", blank).read_bytes()
    for name, content in {"empty": b"", "text": b"not weights\n", "cut": good[: len(good) // 2]}.items():
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(content)
        refused(path, "no readable torch file")
    path = tmp_path / "tensor.ckpt"
    torch.save(torch.zeros(3), path)
    refused(path, "one Tensor")
    ours = convert_diffae(tmp_path / "good.ckpt", tmp_path / "ours.safetensors")
    refused(ours, out=tmp_path / "twice.safetensors")


def test_other_networks(tmp_path: Path, blank: State) -> None:
    path = tmp_path / "last.ckpt"

    def changed(**changes: Tensor | None) -> Path:
        state = {**blank, **changes}
        return lightning(path, {key: value for key, value in state.items() if value is not None})

    refused(changed(**{key: None for key in blank if key.startswith("encoder.")}), "without a semantic encoder")
    refused(changed(**{"input_blocks.1.0.out_layers.3.bias": None}), "no weights for 'unet.down.0.0.conv_out.bias'")
    refused(changed(**{"input_blocks.1.0.cond_emb_layers.1.weight": None}), "cond_emb_layers")
    refused(changed(**{"label_emb.weight": torch.zeros(2, 48)}), "'label_emb.weight'")
    refused(changed(**{"out.0.bias": torch.zeros(32)}), "unet.norm_out.bias of shape [32]", "shape [64]")
    refused(changed(**{"output_blocks.6.0.in_layers.0.weight": torch.zeros(64)}), "7 decoder blocks")
    torch.save({"state_dict": {f"model.{key}": value for key, value in blank.items()}}, path)
    refused(path, "no averaged weights")
    torch.save({"state_dict": {f"ema_model.{key}": value for key, value in blank.items()}}, path)
    refused(path, "weights without 'x_T'")
    refused(lightning(path, blank, hyper_parameters={"beta_scheduler": "const0.01"}), "'const0.01'")


def test_the_output_must_be_a_safetensors_file(tmp_path: Path, blank: State) -> None:
    path = lightning(tmp_path / "last.ckpt", blank)
    with pytest.raises(InputError, match=r"ends in \.safetensors, not '\.pt'"):
        convert_diffae(path, tmp_path / "net.pt")
