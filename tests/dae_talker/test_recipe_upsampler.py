"""Stage 3 on planted data: pairs lie in the same place, training sharpens, the whole system is saved."""

from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.dae_talker.model import load_dae_talker
from talkface_core.dae_talker.recipe_upsampler import (
    UpsamplerRecipe,
    UpsamplerTraining,
    chosen_frames,
    decoded_frames,
    frames_of,
)
from talkface_core.dae_talker.upsampler import UpsamplerConfig
from talkface_core.datasets.clips import ClipSet
from talkface_core.errors import InputError
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from tests.dae_talker.small import LARGE, SIZE, save_small_talker, small_autoencoder, small_speech2latent

FIXTURES = Path(__file__).parents[1] / "fixtures"
CONFIG = UpsamplerConfig(image_size=SIZE, wide=8, deep=1, fine=8)


def pairs(count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Stripes one pixel wide in the large frames where the small ones are brighter than half; grey elsewhere."""
    rng = np.random.default_rng(0)
    small = np.repeat(np.repeat(rng.choice([60, 200], (count, 4, 4, 1)), 4, 1), 4, 2) * np.ones(3, int)
    large = np.repeat(np.repeat(small, 2, 1), 2, 2)
    stripes = 40 * (-1) ** np.arange(LARGE)[:, None, None]
    return small.astype(np.uint8), np.where(large > 128, large + stripes, large).astype(np.uint8)


def recipe(**changes) -> UpsamplerRecipe:
    torch.manual_seed(0)
    small, large = pairs()
    landmarks = np.full((len(small), 68, 2), 0.5, np.float32)
    training = UpsamplerTraining(**{"batch_size": 4, "side": 12, **changes})
    frozen = {"autoencoder": small_autoencoder(), "speech2latent": small_speech2latent()}
    configs = {name: net.config.to_dict() for name, net in frozen.items()}
    return UpsamplerRecipe(small, large, landmarks, CONFIG, training, frozen, configs, "planted")


def test_squares_of_a_pair_show_the_same_place():
    tested = recipe(mouth=0.4, eyes=0.3)
    batch = tested.batch(0, np.random.default_rng(1))
    assert batch["small"].shape == (4, 12, 12, 3)
    assert batch["large"].shape == (4, 24, 24, 3)
    small = batch["small"].repeat_interleave(2, 1).repeat_interleave(2, 2).float()
    assert (small - batch["large"].float()).abs().max() <= 40
    again = tested.batch(0, np.random.default_rng(1))
    assert torch.equal(batch["large"], again["large"])


def test_training_draws_the_texture_and_saves_a_whole_system(tmp_path):
    tested = recipe(mouth=0.0, eyes=0.0)
    config = TrainConfig(lr=1e-2, warmup=5, beta2=0.99, ema_decay=0.8)
    result = train(tested, tmp_path / "run", 60, config, sample_every=60, log_every=0, device="cpu", quiet=True)
    assert list((tmp_path / "run" / "samples").glob("*"))
    assert set(read_checkpoint(result.checkpoint).configs) == {"autoencoder", "speech2latent", "upsampler"}
    net = load_dae_talker(result.checkpoint, "cpu", torch.float32).autoencoder.upsampler
    small, large = (torch.from_numpy(part).permute(0, 3, 1, 2) / 127.5 - 1 for part in pairs())
    smooth = torch.nn.functional.interpolate(small, scale_factor=2.0, mode="bilinear")
    made, plain = ((picture - large).abs().mean() for picture in (net(small), smooth))
    assert made < 0.6 * plain


def test_frames_of_another_size_are_refused():
    small = pairs()[0]
    with pytest.raises(InputError, match=r"the upsampler needs \[32, 32, 3\]"):
        UpsamplerRecipe(small, small, np.zeros((len(small), 68, 2)), CONFIG)


def test_pairs_come_of_a_clip_set(tmp_path):
    clips = ClipSet.open(FIXTURES)
    chosen = chosen_frames(clips, 5)
    frames = frames_of(clips, LARGE, 5, tmp_path, quiet=True)
    talker = str(save_small_talker(tmp_path / "talker.safetensors"))
    decoded = decoded_frames(frames, talker, clips, 5, "cpu", tmp_path, quiet=True)
    assert len(chosen) == len(frames) == len(decoded)
    assert frames.shape[1:] == (LARGE, LARGE, 3)
    assert decoded.shape[1:] == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(frames, clips.frame_cache(LARGE, tmp_path, quiet=True)[chosen])
