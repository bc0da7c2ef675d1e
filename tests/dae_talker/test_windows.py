"""Long recordings: windows against one piece, smooth borders, exact frame counts, other rates, bounded memory."""

from fractions import Fraction
from math import ceil

import pytest
import torch

from talkface_core.dae_talker.pose import pose_units
from talkface_core.dae_talker.speech2latent import Speech2Latent, Speech2LatentConfig
from talkface_core.dae_talker.windows import Control, speech_to_latents
from talkface_core.errors import InputError


@pytest.fixture(scope="module")
def net() -> Speech2Latent:
    torch.manual_seed(0)
    sizes = {"latent_dim": 6, "width": 16, "ff": 16, "front_width": 8, "encoder_blocks": 1, "decoder_blocks": 1}
    model = Speech2Latent(Speech2LatentConfig.preset("tiny", max_distance=12, **sizes)).eval()
    model.set_statistics(torch.randn(50, 6) + 1.0, torch.randn(50, 3) * 0.05)
    return model


def mel_of(samples: int, rate: int = 16000) -> torch.Tensor:
    steps = ceil(ceil(Fraction(samples * 16000, rate)) / 200)
    torch.manual_seed(1)
    rough = torch.randn(1, 80, steps // 4 + 2)
    return torch.nn.functional.interpolate(rough, 4 * (steps // 4 + 2), mode="linear")[0].T[:steps].contiguous()


def run(net, mel, samples, rate=16000, block=80, **options):
    chunks = list(speech_to_latents(net, mel.split(block), samples, rate, **options))
    return torch.cat([c.latents for c in chunks]), torch.cat([c.pose for c in chunks])


@pytest.mark.parametrize("block", [7, 80, 10_000])
def test_a_clip_of_one_window_equals_one_call(net, block):
    mel = mel_of(64_000)
    latents, pose = run(net, mel, 64_000, block=block)
    whole = net(mel[None], 100)
    torch.testing.assert_close(latents, net.denormalise(whole.latents[0]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pose, 90 * whole.pose[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 59, 60, 61, 75, 100, 123, 301])
def test_windows_join_without_a_seam(net, frames):
    mel = mel_of(frames * 640)
    latents, pose = run(net, mel, frames * 640, window=60, overlap=15)
    whole = net(mel[None], frames)
    assert latents.shape == (frames, 6)
    assert pose.shape == (frames, 3)
    one = net.denormalise(whole.latents[0])
    assert (latents - one).abs().max() < 0.35 * one.std()
    if frames > 60:
        steps, steps_one = latents.diff(dim=0).abs().amax(1), one.diff(dim=0).abs().amax(1)
        assert (steps - steps_one).abs().max() < 0.35 * steps_one.max()


def test_a_long_recording_reads_a_bounded_stretch(net):
    frames, alive, most = 2000, 0, 0
    mel = mel_of(frames * 640)

    def blocks():
        nonlocal alive, most
        for block in mel.split(64):
            alive += len(block)
            most = max(most, alive - done * 3.2)
            yield block

    done = 0
    for chunk in speech_to_latents(net, blocks(), frames * 640, 16000, window=60, overlap=15):
        done += len(chunk)
    assert done == frames
    assert most < 60 * 3.2 + 15 * 3.2 + 64 + 2 * net.front("mel").reach + 4


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
@pytest.mark.parametrize("fps", [12, 23.976, 25, 29.97, 30, 60])
def test_frames_are_ceil_of_seconds_times_fps(net, rate, fps):
    exact = {23.976: Fraction(24000, 1001), 29.97: Fraction(30000, 1001)}.get(fps, Fraction(fps))
    for samples in (1, rate // 7, 3 * rate + 1):
        latents, pose = run(net, mel_of(samples, rate), samples, rate, fps=fps, window=40, overlap=10)
        assert len(latents) == len(pose) == ceil(Fraction(samples, rate) * exact)


def test_given_pose_and_eyes_reach_the_model_at_every_rate(net):
    samples = 5 * 16000
    mel = mel_of(samples)
    for fps, frames in ((25, 125), (30, 150)):
        track = torch.stack([torch.linspace(-20, 20, frames)] + 2 * [torch.zeros(frames)], dim=1)
        latents, pose = run(net, mel, samples, fps=fps, control=Control(pose=track), window=60, overlap=15)
        torch.testing.assert_close(pose, track, rtol=0, atol=0.35)
        half = run(net, mel, samples, fps=fps, control=Control(pose=track, strength=0.5), window=60, overlap=15)[1]
        free = run(net, mel, samples, fps=fps, window=60, overlap=15)[1]
        torch.testing.assert_close(half, (track + free) / 2, rtol=0, atol=0.35)
        swayed = run(net, mel, samples, fps=fps, control=Control(sway=track), window=60, overlap=15)[1]
        torch.testing.assert_close(swayed, track + free, rtol=0, atol=0.35)
        dark = torch.zeros(frames)
        shut = run(net, mel, samples, fps=fps, control=Control(pose=track, eyes=dark), window=60, overlap=15)[0]
        assert (shut - latents).abs().mean() > 1e-3
    constant = run(net, mel, samples, control=Control(pose=torch.tensor([15.0, 0.0, 0.0])))
    wanted = net(mel[None], 125, pose=pose_units(torch.tensor([15.0, 0.0, 0.0])).expand(1, 125, 3)).latents[0]
    torch.testing.assert_close(constant[0], net.denormalise(wanted), rtol=1e-4, atol=1e-4)


def test_wrong_controls_are_refused(net):
    mel = mel_of(16000)
    for control, words in (
        (Control(strength=1.5), "strength 1.5"),
        (Control(pose_scale=-1.0), "scale -1.0"),
        (Control(pose=torch.zeros(9, 3)), "give 25 rows"),
        (Control(pose=torch.full((25, 3), 91.0)), r"-90\.\.90"),
        (Control(sway=torch.zeros(9, 3)), "sway track"),
        (Control(eyes=torch.zeros(9)), "give 25 values"),
    ):
        with pytest.raises(InputError, match=words):
            list(speech_to_latents(net, [mel], 16000, 16000, control=control))
    with pytest.raises(InputError, match="overlap of 40"):
        list(speech_to_latents(net, [mel], 16000, 16000, window=60, overlap=40))
    with pytest.raises(InputError, match="empty"):
        list(speech_to_latents(net, [], 16000, 16000))
    with pytest.raises(InputError, match="reads mel"):
        list(speech_to_latents(net, [mel], 16000, 16000, front="whisper"))


def test_expression_stretches_speech_about_the_rest_of_the_same_head(net):
    mel = mel_of(64_000)
    rest, _ = run(net, torch.full_like(mel, -4.0), 64_000, control=Control(pose=run(net, mel, 64_000)[1]))
    plain, pose = run(net, mel, 64_000)
    for amount in (0.0, 0.5, 1.5):
        silence = torch.full((80,), -4.0)
        latents, same = run(net, mel, 64_000, control=Control(expression=amount), silence=silence)
        torch.testing.assert_close(latents, rest + amount * (plain - rest), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(same, pose)


def test_expression_has_limits(net):
    mel = mel_of(6_400)
    for wrong in (-0.1, 2.5, float("nan")):
        with pytest.raises(InputError, match="expression"):
            run(net, mel, 6_400, control=Control(expression=wrong), silence=mel[0])
    with pytest.raises(InputError, match="own hearing"):
        run(net, mel, 6_400, control=Control(expression=1.2))
