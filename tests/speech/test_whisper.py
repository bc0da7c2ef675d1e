"""Whisper's encoder: beside the published code, from both kinds of public files, and over sounds of any length."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from talkface_core.checkpoints import read_checkpoint
from talkface_core.cli.conversions import convert
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.speech.convert_whisper import LICENCE
from talkface_core.speech.whisper import SYSTEM, WHISPER, WhisperConfig, WhisperEncoder, first_blocks, positions
from talkface_core.speech.whisper_mel import WhisperFeatures, whisper_mel
from tests.sync.evaluator_golden import published_state

MEL = [
    [0.1359, 1.20999, -0.55146, -0.55146, -0.55146],
    [-0.4546, 0.3946, -0.25013, -0.55146, -0.55146],
]
"""What transformers' WhisperFeatureExtractor gives for `sweep`: bands 0 and 5, steps 0, 10, 60, 149 and 200."""

HEARD = [
    [-1.93424, 1.38676, -1.19493, -0.0617],
    [-2.20654, 1.76309, -1.23515, 0.12539],
    [-2.22659, 1.83972, -1.5431, -0.17426],
    [-1.8778, 1.54253, -0.46203, -0.25489],
]
"""What its WhisperModel's encoder gives for these weights: steps 0, 30, 74 and 1499, the first four values."""

SMALL = WhisperConfig(128, 2, 2)
_NAMES = {  # ours, Hugging Face's, OpenAI's
    "first": ("conv1", "conv1"),
    "second": ("conv2", "conv2"),
    "norm": ("layer_norm", "ln_post"),
    "blocks.attention_norm": ("self_attn_layer_norm", "attn_ln"),
    "blocks.attention.query": ("self_attn.q_proj", "attn.query"),
    "blocks.attention.key": ("self_attn.k_proj", "attn.key"),
    "blocks.attention.value": ("self_attn.v_proj", "attn.value"),
    "blocks.attention.out": ("self_attn.out_proj", "attn.out"),
    "blocks.norm": ("final_layer_norm", "mlp_ln"),
    "blocks.enter": ("fc1", "mlp.0"),
    "blocks.out": ("fc2", "mlp.2"),
}


def sweep() -> Tensor:
    t = torch.arange(24000) / 16000
    return 0.5 * torch.sin(2 * math.pi * 440 * t * t) * torch.sin(4 * math.pi * t)


def public_name(key: str, kind: int) -> str:
    """The name of our `key` in Hugging Face's files (0) or in OpenAI's (1)."""
    part, _, last = key.rpartition(".")
    if not part.startswith("blocks."):
        return f"encoder.{_NAMES[part][kind]}.{last}"
    _, number, rest = part.split(".", 2)
    return f"encoder.{('layers', 'blocks')[kind]}.{number}.{_NAMES[f'blocks.{rest}'][kind]}.{last}"


def published(kind: int) -> dict[str, Tensor]:
    """A small state under public names, the same weights for both kinds."""
    shapes = {key: value.shape for key, value in WhisperEncoder(SMALL).state_dict().items()}
    drawn = published_state({f"model.{public_name(key, 0)}": shape for key, shape in shapes.items()})
    table = ("encoder.embed_positions.weight", "encoder.positional_embedding")[kind]
    own = {public_name(key, kind): drawn[f"model.{public_name(key, 0)}"] for key in shapes}
    return {**own, table: positions(SMALL.width)}


def public_file(folder: Path, kind: str, **changes: Tensor | None) -> Path:
    """A small public file with a piece of a decoder, some of its tensors changed or left out."""
    path = folder / {"hugging face": "a.safetensors", "bin": "a.bin", "openai": "a.pt"}[kind]
    state = published(int(kind == "openai"))
    for key, value in changes.items():
        state.pop(key.replace("__", "."))
        if value is not None:
            state[key.replace("__", ".")] = value
    if kind == "openai":
        state["decoder.positional_embedding"] = torch.zeros(4, 4)
        torch.save({"dims": {"n_mels": 80}, "model_state_dict": state}, path)
    else:
        state = {f"model.{key}": value for key, value in state.items()}
        state["model.decoder.embed_positions.weight"] = torch.zeros(4, 4)
        save_file(state, path) if kind == "hugging face" else torch.save(state, path)
    return path


def small(steps: int = 1500) -> WhisperEncoder:
    torch.manual_seed(0)
    return WhisperEncoder(WhisperConfig(16, 2, 1, steps)).eval().requires_grad_(False)


def test_sizes_are_the_published_ones():
    """OpenAI's encoders have so many weights; positions, which are none of ours, left out."""
    for preset, count in {"tiny": 7_632_384, "base": 19_822_592}.items():
        with torch.device("meta"):
            net = WhisperEncoder(WhisperConfig.preset(preset))
        assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_the_mel_is_the_published_one():
    found = whisper_mel(sweep())
    assert found.shape == (80, 3000)
    torch.testing.assert_close(found[[0, 5]][:, [0, 10, 60, 149, 200]], torch.tensor(MEL), atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", ["hugging face", "bin", "openai"])
def test_a_converted_file_hears_as_the_published_network(tmp_path, kind):
    made = convert([str(public_file(tmp_path, kind))], tmp_path / "whisper.safetensors")
    checkpoint = read_checkpoint(made, SYSTEM)
    assert list(checkpoint.configs) == [WHISPER.name]
    assert checkpoint.provenance["licence"] == LICENCE
    net = build(checkpoint, WHISPER)
    assert net.config == SMALL
    with torch.no_grad():
        heard = net(whisper_mel(sweep())[None])[0]
    assert heard.shape == (1500, 128)
    # Weights are stored as float16.
    torch.testing.assert_close(heard[[0, 30, 74, 1499], :4], torch.tensor(HEARD), atol=4e-3, rtol=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder__conv1__weight": torch.zeros(128, 128, 3)}, "which hears 80 mels; large-v3 does not"),
        ({"encoder__positional_embedding": torch.zeros(1500, 128)}, "that are not Whisper's sines"),
        ({"encoder__blocks__1__mlp__0__bias": None}, r"no weights for 'blocks\.1\.enter\.bias'"),
        ({"encoder__conv2__bias": torch.zeros(3)}, r"second\.bias of shape \[3\], not \[128\]"),
    ],
)
def test_what_is_no_whisper_is_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        convert([str(public_file(tmp_path, "openai", **changes))], tmp_path / "whisper.safetensors")
    assert not (tmp_path / "whisper.safetensors").exists()


@pytest.mark.parametrize("steps", [1500, 400])
def test_a_long_sound_is_heard_in_windows_that_overlap(steps):
    net, generator = small(steps), torch.Generator().manual_seed(1)
    front = WhisperFeatures(net)
    wave = 0.1 * torch.randn(2 * front.samples + 5000, generator=generator)
    heard = torch.cat(list(front.stream(wave.split(70_001))))
    assert heard.shape == (2 * steps + 16, 16)
    fade, edge = front.fade, (front.overlap - front.fade) // 2
    torch.testing.assert_close(
        heard[: steps - front.overlap + edge], front.window(wave)[: steps - front.overlap + edge]
    )
    first = steps - front.overlap
    second = front.window(wave[first * 320 :])
    inside = slice(edge + fade, steps - front.overlap + edge)
    torch.testing.assert_close(heard[first:][inside], second[inside])
    # Neighbours hear other things before and behind; between them nothing jumps more than within one.
    jumps = heard.diff(dim=0).abs().amax(1)
    assert jumps[first + edge : first + edge + fade].max() < 1.5 * jumps[:first].max()


@pytest.mark.parametrize("steps", [1500, 100])
@pytest.mark.parametrize("samples", [1, 321, 0, -1])
def test_every_sound_has_a_step_for_each_20_ms(steps, samples):
    front = WhisperFeatures(small(steps))
    samples = samples if samples > 0 else front.samples - samples
    assert front(torch.rand(samples) - 0.5).shape == (-(-samples // 320), 16)
    assert list(front.stream([])) == []


def test_a_long_sound_is_asked_for_as_it_is_heard():
    asked = []

    def blocks():
        for n in range(100):
            asked.append(n)
            yield torch.zeros(16_000)

    stream = WhisperFeatures(small()).stream(blocks())
    next(stream)
    assert len(asked) <= 31


def test_half_precision_hears_the_same():
    net = small()
    exact = WhisperFeatures(net)(sweep())
    rough = WhisperFeatures(net.to(torch.bfloat16))(sweep())
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() < 0.05 * exact.norm()


def test_the_first_blocks_hear_as_far_as_they_go():
    torch.manual_seed(0)
    whole = WhisperEncoder(WhisperConfig(16, 2, 3)).eval()
    mel = torch.randn(1, 80, 40)
    part = first_blocks(whole, 1)
    assert (part.config.blocks, part.training) == (1, False)
    heard = []
    hook = whole.blocks[0].register_forward_hook(lambda *words: heard.append(words[-1]))
    whole(mel)
    hook.remove()
    torch.testing.assert_close(part(mel), whole.norm(heard[0]))
    torch.testing.assert_close(first_blocks(whole, 3)(mel), whole(mel))
    brief = first_blocks(whole, 3, 100)
    assert (brief.config.steps, len(brief.positions)) == (100, 100)
    torch.testing.assert_close(brief(mel), whole(mel))
    with pytest.raises(InputError, match="200 steps at once of a Whisper that hears 100"):
        first_blocks(brief, 1, 200)
    for wrong in (0, 4):
        with pytest.raises(InputError, match=f"{wrong} blocks of a Whisper that has 3"):
            first_blocks(whole, wrong)
