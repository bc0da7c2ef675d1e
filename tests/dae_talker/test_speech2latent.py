"""Speech2latent: presets, exact alignment of features and frames, normalisers, config, checkpoints."""

import json
from fractions import Fraction

import pytest
import torch

from talkface_core.checkpoints import read_checkpoint, save_checkpoint
from talkface_core.dae_talker.speech2latent import Speech2Latent, Speech2LatentConfig
from talkface_core.errors import InputError
from talkface_core.speech.frame_front import MEL, WAV2VEC2, FrameFront, FrontEndConfig, frame_positions


def small(**changes) -> Speech2Latent:
    torch.manual_seed(0)
    sizes = {"latent_dim": 6, "width": 16, "ff": 16, "front_width": 8, "encoder_blocks": 1, "decoder_blocks": 1}
    return Speech2Latent(Speech2LatentConfig.preset("tiny", **{**sizes, **changes})).eval()


def test_tiny_is_small_and_base_is_the_published_layout():
    tiny = Speech2Latent(Speech2LatentConfig.preset("tiny"))
    assert 0.8e6 < sum(p.numel() for p in tiny.parameters()) < 1.2e6
    base = Speech2LatentConfig.preset("base")
    assert (base.width, base.heads, base.ff, base.encoder_blocks, base.decoder_blocks) == (512, 2, 512, 4, 4)
    assert (base.kernel, base.latent_dim, base.dropout, base.pre_norm) == (13, 512, 0.2, False)
    with pytest.raises(InputError, match="tiny, base"):
        Speech2LatentConfig.preset("huge")


@pytest.mark.parametrize("front", [MEL, WAV2VEC2, FrontEndConfig(8, "44100/512", "1/7")])
@pytest.mark.parametrize(("first_frame", "first_step"), [(0, 0), (90_000, 287_000)])
def test_positions_are_exact_for_any_rate(front, first_frame, first_step):
    below, fraction = frame_positions(50, front.exact_rate, 25, Fraction(front.offset), first_frame, first_step)
    for k in (0, 1, 7, 49):
        seconds = Fraction(2 * (first_frame + k) + 1, 50)
        wanted = (seconds - Fraction(front.offset)) * front.exact_rate - first_step
        assert int(below[k]) == wanted.numerator // wanted.denominator
        assert float(fraction[k]) == pytest.approx(float(wanted - int(below[k])), abs=1e-6)


@pytest.mark.parametrize(("front", "taps"), [(MEL, 8), (WAV2VEC2, 4), (MEL, 5)])
def test_the_taps_sit_on_the_centre_of_the_frame(front, taps):
    """Features that hold their own time must come out as the centre of the frame."""
    net = FrameFront(front, 25, 1, 1, kernel=3, taps=taps).double()
    steps = torch.arange(400, dtype=torch.float64) / float(front.exact_rate) + float(Fraction(front.offset))
    net.norm = torch.nn.Identity()
    net.enter = torch.nn.Identity()
    net.mix = torch.nn.Identity()
    torch.nn.init.constant_(net.join.weight, 1.0 / taps)
    torch.nn.init.zeros_(net.join.bias)
    # A large constant makes GELU the identity; the residual sum doubles the value.
    read = net((steps + 100.0)[None, :, None].expand(1, -1, 1), 60)[0, :, 0] / 2 - 100.0
    centres = (torch.arange(60, dtype=torch.float64) + 0.5) / 25
    inside = slice(3, None)
    torch.testing.assert_close(read[inside], centres[inside], rtol=0, atol=1e-6)


@pytest.mark.parametrize("planes", [0, 4])
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
def test_any_number_of_steps_gives_the_frames_asked_for(steps, planes):
    net = small(front_planes=planes)
    output = net(torch.randn(2, steps, 80), 37)
    assert output.latents.shape == (2, 37, 6)
    assert output.pose.shape == output.predicted_pose.shape == (2, 37, 3)
    assert output.hidden.shape == (2, 37, 16)
    assert output.latents.isfinite().all()


@pytest.mark.parametrize("planes", [0, 4])
def test_the_front_end_reaches_as_far_as_it_says(planes):
    net = small(front_planes=planes).front("mel")
    mel = torch.randn(1, 320, 80)
    below = int(frame_positions(1, MEL.exact_rate, 25, first_frame=50)[0])
    other = mel.clone()
    other[:, below + net.reach + 2 :] = 3.0
    other[:, : below - net.reach] = -3.0
    torch.testing.assert_close(net(other, 100)[:, 50], net(mel, 100)[:, 50])
    part = mel[:, below - net.reach : below + net.reach + 2]
    alone = net(part, 1, first_frame=50, first_step=below - net.reach)
    torch.testing.assert_close(alone[:, 0], net(mel, 100)[:, 50], rtol=1e-4, atol=1e-5)


def test_the_latents_follow_pose_and_eyes():
    net = small()
    mel = torch.randn(1, 64, 80)
    left, right = (net(mel, 20, pose=torch.full((1, 20, 3), angle)).latents for angle in (-0.2, 0.2))
    shut = net(mel, 20, pose=torch.full((1, 20, 3), 0.2), eyes=torch.zeros(1, 20)).latents
    assert (left - right).abs().mean() > 1e-2
    assert (shut - right).abs().mean() > 1e-3


def test_features_of_another_front_end_are_refused_by_name():
    net = small()
    with pytest.raises(InputError, match=r"'wav2vec2' with 768 .* reads mel \(80 values at 80/s\)"):
        net(torch.zeros(1, 10, 768), 5, front="wav2vec2")
    with pytest.raises(InputError, match="64 values"):
        net(torch.zeros(1, 10, 64), 5)
    two = small(fronts={"mel": MEL, "wav2vec2": WAV2VEC2})
    assert two(torch.zeros(1, 10, 768), 5, front="wav2vec2").latents.shape == (1, 5, 6)


def test_statistics_normalise_the_training_set():
    net = small()
    latents = torch.randn(500, 6) * torch.arange(1.0, 7.0) + 3.0
    net.set_statistics(latents, torch.randn(500, 3) * 0.05)
    normal = net.normalise(latents)
    torch.testing.assert_close(normal.mean(0), torch.zeros(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(normal.std(0), torch.ones(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(net.denormalise(normal), latents)


def test_weights_config_and_normaliser_survive_a_checkpoint(tmp_path):
    net = small()
    net.set_statistics(torch.randn(50, 6) + 1.0, torch.randn(50, 3) * 0.1)
    save_checkpoint(
        tmp_path / "x.safetensors", "dae_talker", {"speech2latent": net}, {"speech2latent": net.config.to_dict()}, {}
    )
    read = read_checkpoint(tmp_path / "x.safetensors", "dae_talker")
    config = Speech2LatentConfig.from_dict(json.loads(json.dumps(read.configs["speech2latent"])))
    assert config == net.config
    again = read.load_into(Speech2Latent(config), "speech2latent").eval()
    mel = torch.randn(1, 64, 80)
    torch.testing.assert_close(again(mel, 20).latents, net(mel, 20).latents)
    torch.testing.assert_close(again.latent_mean, net.latent_mean)
