"""Conversion of JoyVASA's motion generator: equal numbers, the published layout, and every other file refused."""

import argparse
import pathlib
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from talkface_core.checkpoints import read_checkpoint
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.see_the_speaker import motion_diffusion
from talkface_core.see_the_speaker.convert_joyvasa import (
    DELAY,
    convert_joyvasa,
    read_joyvasa,
    read_template,
    recognises,
    reordered,
    write_encoder,
)
from talkface_core.see_the_speaker.motion_diffusion import MOTION, Before, MotionConfig, MotionDiffusion, MotionSampling
from tests.see_the_speaker.joyvasa_golden import EVERY, GUIDANCE, STEPS, drawn, inputs, load, template, weights


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return load()


def public_file(path: Path, state: dict[str, Tensor], **settings: Any) -> Path:
    """A file as the public trainer writes it: weights, and the program's arguments with a path among them."""
    args = argparse.Namespace(exp_name="hubert", data_root=pathlib.PosixPath("/data"), n_motions=12, n_diff_steps=20)
    vars(args).update(settings)
    mask = {"denoising_net.alignment_mask": ~torch.eye(16, dtype=torch.bool)}
    torch.save({"args": args, "model": mask | state, "iter": 3}, path)
    return path


def template_file(path: Path, protocol: int = 4, **changes: Any) -> Path:
    path.write_bytes(pickle.dumps({**template(), **changes}, protocol))
    return path


@pytest.fixture(scope="module")
def net(golden: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> MotionDiffusion:
    folder = tmp_path_factory.mktemp("public")
    path = public_file(folder / "generator.pt", weights(golden["shapes"]))
    assert recognises(path)
    written = convert_joyvasa(path, template_file(folder / "template.pkl"))
    checkpoint = read_checkpoint(written, "see_the_speaker")
    assert checkpoint.provenance["licence"].startswith("MIT")
    return build(checkpoint, MOTION)


def ours(values: Tensor) -> Tensor:
    """Public values in our order and with our signs, and back again for those of a network's."""
    order, signs = reordered(values.shape[-1])
    return values[..., order] * signs


def relative(actual: Tensor, expected: list[float]) -> float:
    """Largest error of values in our order by the largest public number."""
    order, signs = reordered(actual.shape[-1])
    public = (actual * signs)[..., np.argsort(order).tolist()]
    wanted = torch.tensor(expected)
    return float((public.flatten()[::EVERY] - wanted).abs().max() / wanted.abs().max())


@torch.no_grad()
def test_it_computes_what_the_public_code_does(golden: dict[str, Any], net: MotionDiffusion) -> None:
    given = inputs()
    before = Before(ours(given["previous_motion"]), given["previous_heard"])
    assert torch.tensor(golden["clean"]).std() > 0.5
    clean = net(ours(given["noisy"]), torch.tensor(STEPS) - 1, net.hear(given["features"]), before)
    assert relative(clean, golden["clean"]) < 1e-4


@torch.no_grad()
def test_two_windows_are_sampled_as_by_the_public_code(
    golden: dict[str, Any], net: MotionDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All noise levels, guidance, and what a second window follows."""
    count = [0]

    def next_noise(shape: Iterable[int], *_: Any) -> Tensor:
        count[0] += 1
        return ours(drawn(count[0], shape))

    monkeypatch.setattr(motion_diffusion, "noise", next_noise)
    monkeypatch.setattr("talkface_core.diffusion.sampling.noise", next_noise)
    sampling = MotionSampling("ddim", 20, 1.0, GUIDANCE)
    heard = net.hear(inputs()["features"])
    first = net.sample(heard, None, 0, sampling)
    assert relative(first, golden["first"]) < 1e-4
    second = net.sample(heard.flip(1), Before(first[:, -4:], heard[:, -4:]), 0, sampling)
    assert relative(second, golden["second"]) < 1e-4


@torch.no_grad()
def test_the_golden_numbers_feel_every_weight(golden: dict[str, Any], net: MotionDiffusion) -> None:
    given = inputs()
    heard, noisy, steps = given["features"], ours(given["noisy"]), torch.tensor(STEPS) - 1
    before = Before(ours(given["previous_motion"]), given["previous_heard"])

    def says(key: str) -> Tensor:
        sound = net.null_audio.expand(2, 12, -1) if key == "null_audio" else net.hear(heard)
        return net(noisy, steps, sound, net.start(2) if key.startswith("start") else before)

    still = {key: says(key) for key in ("", "null_audio", "start")}
    for key, weight in net.state_dict().items():
        if key in ("mean", "std"):
            continue
        kept = weight.clone()
        weight.add_(0.05 * torch.linspace(-1, 1, weight.numel()).reshape(weight.shape) + 0.02)
        moved = says(key)
        weight.copy_(kept)
        wanted = still["start" if key.startswith("start") else key if key in still else ""]
        assert float((moved - wanted).abs().max()) > 1e-3, key


def test_the_published_sizes_are_base(golden: dict[str, Any], tmp_path: Path) -> None:
    state = {key: torch.zeros(()).expand(shape) for key, shape in golden["base"].items() if "mask" not in key}
    state["denoising_net.alignment_mask"] = ~torch.eye(110, dtype=torch.bool)
    path = public_file(tmp_path / "base.pt", state, n_motions=100, n_diff_steps=500)
    net, provenance = read_joyvasa(path, template_file(tmp_path / "t.pkl"))
    base = MotionConfig.preset("base")
    assert net.config.to_dict() == base.to_dict() | {"delay": DELAY}
    assert provenance["file"] == "base.pt"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_template_in_our_order(tmp_path: Path, protocol: int) -> None:
    values = template()
    mean, std = read_template(template_file(tmp_path / "t.pkl", protocol), 21)
    assert np.allclose(mean[:63], values["mean_exp"])
    assert np.allclose(std[63], values["max_scale"] - values["min_scale"])
    lows = [-values["min_yaw"][0], values["min_pitch"][0], -values["min_roll"][0]]
    assert np.allclose(mean[-3:], lows)
    widths = [values[f"max_{name}"][0] - values[f"min_{name}"][0] for name in ("yaw", "pitch", "roll")]
    assert np.allclose(std[-3:], widths)


def test_a_public_motion_comes_out_whole(net: MotionDiffusion) -> None:
    """A value of the public network, brought to degrees by the public formula, is ours with the sign turned."""
    values, public = template(), torch.linspace(-1, 1, 70)
    made = net.denormalise(ours(public))
    for place, name, sign in ((-3, "yaw", -1), (-2, "pitch", 1), (-1, "roll", -1)):
        at = {"pitch": 67, "yaw": 68, "roll": 69}[name]
        low, high = values[f"min_{name}"][0], values[f"max_{name}"][0]
        assert float(made[place]) == pytest.approx(sign * float(public[at] * (high - low) + low), rel=1e-5)


class _Foreign:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


def test_other_files_are_refused(golden: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = weights(golden["shapes"])
    good = template_file(tmp_path / "t.pkl")
    lacking = {key: value for key, value in state.items() if "linear2" not in key}
    with pytest.raises(InputError, match="no weights for"):
        read_joyvasa(public_file(tmp_path / "lacking.pt", lacking), good)
    with pytest.raises(InputError, match="does not have"):
        read_joyvasa(public_file(tmp_path / "more.pt", {**state, "denoising_net.more": torch.zeros(2)}), good)
    wide = {**state, "denoising_net.alignment_mask": torch.zeros(16, 16, dtype=torch.bool)}
    with pytest.raises(InputError, match="more of the sound"):
        read_joyvasa(public_file(tmp_path / "wide.pt", wide), good)
    with pytest.raises(InputError, match="noise levels"):
        read_joyvasa(public_file(tmp_path / "steps.pt", state, n_diff_steps="many"), good)
    with pytest.raises(InputError, match="another program"):
        read_joyvasa(public_file(tmp_path / "run.pt", state, ran=_Foreign()), good)
    path = public_file(tmp_path / "generator.pt", state)
    with pytest.raises(InputError, match="numbers named 'mean_exp'"):
        read_joyvasa(path, template_file(tmp_path / "short.pkl", mean_exp=np.zeros(3)))
    with pytest.raises(InputError, match="another program"):
        read_joyvasa(path, template_file(tmp_path / "run.pkl", more=_Foreign()))
    with pytest.raises(InputError, match="no plain arrays"):
        read_joyvasa(path, template_file(tmp_path / "objects.pkl", mean_exp=np.array([{}])))
    with pytest.raises(InputError, match="no such file"):
        read_joyvasa(path, tmp_path / "missing.pkl")
    with pytest.raises(InputError, match="safetensors"):
        convert_joyvasa(path, good, tmp_path / "out.pt")
    assert "unpickled" not in capsys.readouterr().out


def test_the_speech_encoder_is_taken_out(golden: dict[str, Any], tmp_path: Path) -> None:
    state = weights(golden["shapes"])
    with pytest.raises(InputError, match="no speech encoder"):
        write_encoder(public_file(tmp_path / "without.pt", state), tmp_path / "encoder.safetensors")
    weight = torch.arange(6.0).reshape(2, 3)
    path = public_file(tmp_path / "with.pt", {**state, "audio_encoder.encoder.layers.0.weight": weight})
    written = load_file(write_encoder(path, tmp_path / "encoder.safetensors"))
    assert torch.equal(written["encoder.layers.0.weight"], weight)
    assert len(written) == 1
    assert recognises(path)
