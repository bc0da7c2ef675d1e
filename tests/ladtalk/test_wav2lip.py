"""Wav2Lip's generator: published size, nothing peeped at, colours turned inside, norms folded away."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from talkface_core.checkpoints import read_checkpoint, save_checkpoint
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.ladtalk.repaint import repaint, repaint_faces
from talkface_core.ladtalk.wav2lip import WAV2LIP, Wav2Lip, Wav2LipConfig, blackened, inference_copy, picture_size
from talkface_core.training.setup import load_init


def count(net):
    return sum(p.numel() for p in net.parameters())


def given(batch=2, seed=0):
    torch.manual_seed(seed)
    return torch.rand(batch, 3, 96, 96), torch.rand(batch, 3, 96, 96), torch.randn(batch, 1, 80, 16)


def test_published_size():
    with torch.device("meta"):
        net = Wav2Lip(Wav2LipConfig.preset("base"))
        assert abs(count(net) / 36.3e6 - 1) < 0.01
        for part, millions in ((net.face_encoder, 8.2), (net.speech_encoder, 2.8)):
            assert abs(count(part) / 1e6 - millions) < 0.06
        assert 2e6 < count(Wav2Lip()) < 4e6


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_pictures_come_out(preset):
    net = Wav2Lip(Wav2LipConfig.preset(preset)).eval()
    with torch.no_grad():
        output = net(*given())
    assert output.shape == (2, 3, 96, 96)
    assert 0 <= output.min() < output.max() <= 1


def test_acoustic_features_are_heard_in_place_of_windows():
    net = Wav2Lip(Wav2LipConfig.preset("tiny", acoustic=24)).eval()
    faces, references, _ = given()
    one, other = torch.randn(2, 2, 24)
    with torch.no_grad():
        assert not torch.equal(net(faces, references, one), net(faces, references, other))


def test_the_mouth_to_repaint_is_never_seen():
    net = Wav2Lip().eval()
    faces, references, windows = given()
    other = faces.clone()
    other[:, :, 48:] = torch.rand(2, 3, 48, 96)
    with torch.no_grad():
        torch.testing.assert_close(net(faces, references, windows), net(other, references, windows))
        other[:, :, 47] = 0
        assert not torch.equal(net(faces, references, windows), net(other, references, windows))
    assert torch.equal(blackened(faces)[:, :, :48], faces[:, :, :48])
    assert not blackened(faces)[:, :, 48:].any()


def test_every_input_matters():
    net = Wav2Lip()
    leaves = [x.requires_grad_() for x in given()]
    net(*leaves).square().sum().backward()
    assert all(leaf.grad.abs().sum() > 0 for leaf in leaves)
    assert all(weight.grad is not None for weight in net.parameters())


def test_blending_keeps_what_was_shown():
    """With the mask at 0 the picture is the face's upper and the reference's lower half; with 1 it is all new."""
    net = Wav2Lip().eval()
    faces, references, windows = given()
    torch.nn.init.zeros_(net.pixels.weight)
    for bias, expected in ((-50.0, torch.cat([faces[:, :, :48], references[:, :, 48:]], 2)), (50.0, None)):
        # Channels are grouped by colour: three of four pixels each, then the mask's four.
        torch.nn.init.zeros_(net.pixels.bias)
        net.pixels.bias.data[12:] = bias
        with torch.no_grad():
            output = net(faces, references, windows)
        torch.testing.assert_close(output, torch.full_like(output, 0.5) if expected is None else expected)


@pytest.mark.parametrize("blend", [True, False])
def test_colour_is_turned_inside(blend):
    torch.manual_seed(0)
    net = Wav2Lip(Wav2LipConfig(blend=blend)).eval()
    other = Wav2Lip(Wav2LipConfig(blend=blend, colour="bgr")).eval()
    other.load_state_dict(net.state_dict())
    faces, references, windows = given()
    with torch.no_grad():
        expected = net(faces, references, windows)
        torch.testing.assert_close(other(faces.flip(1), references.flip(1), windows).flip(1), expected)


def test_an_inference_copy_has_no_norms():
    net = Wav2Lip()
    net(*given(4))
    net.eval()
    copy = inference_copy(net)
    kinds = {type(module) for module in copy.modules() if list(module.parameters(recurse=False))}
    assert kinds == {torch.nn.Conv2d, torch.nn.ConvTranspose2d}
    with torch.no_grad():
        torch.testing.assert_close(copy(*given()), net(*given()), atol=1e-5, rtol=1e-4)
        again = inference_copy(copy)
        torch.testing.assert_close(again(*given()), copy(*given()))


def test_an_inference_copy_hears_both():
    net = Wav2Lip(Wav2LipConfig.preset("tiny", acoustic=24, also_mel=True))
    faces, references, windows = given(4)
    speech = torch.cat([windows.flatten(1), torch.randn(4, 24)], 1)
    net(faces, references, speech)
    net.eval()
    with torch.no_grad():
        copied = inference_copy(net)(faces, references, speech)
        torch.testing.assert_close(copied, net(faces, references, speech), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("wrong", [{"also_mel": True}, {"closing": 0.5}, {"acoustic": 8, "closing": 1.5}])
def test_what_needs_acoustic_features_is_refused_without(wrong):
    with pytest.raises(InputError):
        Wav2LipConfig(**wrong)


def test_a_host_s_layers_are_used():
    class Ops:
        class Conv2d(torch.nn.Conv2d):
            pass

        class ConvTranspose2d(torch.nn.ConvTranspose2d):
            pass

    copy = inference_copy(Wav2Lip(), Ops)
    layers = [module for module in copy.modules() if list(module.parameters(recurse=False))]
    assert {type(layer) for layer in layers} == {Ops.Conv2d, Ops.ConvTranspose2d}


def test_repainting_is_frame_by_frame():
    torch.manual_seed(0)
    net = inference_copy(Wav2Lip())
    faces = np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    windows = torch.randn(5, 1, 80, 16)
    repainted = repaint(net, faces, windows, batch=4)
    assert repainted.shape == faces.shape
    assert repainted.dtype == np.uint8
    parts = [repaint(net, faces[k : k + 1], windows[k : k + 1]) for k in range(5)]
    assert np.abs(repainted.astype(int) - np.concatenate(parts)).max() <= 1
    pixels = torch.from_numpy(faces).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = net(pixels, pixels, windows).permute(0, 2, 3, 1) * 255
    assert np.abs(repainted - expected.numpy()).max() < 1.01
    half = repaint(net.to(torch.bfloat16), faces, windows)
    assert np.abs(half.astype(int) - repainted).mean() < 3
    torch.nn.init.constant_(net.pixels.bias, -50.0)
    torch.nn.init.zeros_(net.pixels.weight)
    # What is kept is kept exactly, however coarsely the net computes.
    np.testing.assert_array_equal(repaint(net, faces, windows), faces)
    with pytest.raises(InputError, match="4 frames of sound"):
        repaint(net, faces, windows[:4])


MOVING = Wav2LipConfig(references=2, flow=0.25)


def moving(*bias: float) -> Wav2Lip:
    """A net that paints nothing and predicts the same everywhere: flow x, y of both references, then their logits."""
    net = Wav2Lip(MOVING).eval()
    torch.nn.init.zeros_(net.pixels.weight)
    values = torch.tensor([0.0, 0.0, 0.0, -50.0, *bias])
    net.pixels.bias.data.copy_(values.repeat_interleave(MOVING.patch**2))
    return net


def smooth(*sides: int) -> list[torch.Tensor]:
    """One smooth picture [1,3,S,S] at several sides."""
    pictures = []
    for side in sides:
        at = (torch.arange(side) + 0.5) / side
        waves = [torch.sin(7 * at[:, None] + k) * torch.cos(5 * at[None] - k) for k in range(3)]
        pictures.append(torch.stack(waves)[None] / 2.5 + 0.5)
    return pictures


def test_at_first_nothing_moves_and_references_count_the_same():
    net = Wav2Lip(MOVING).eval()
    assert not net.pixels.weight[16:].any()
    faces, references, windows = torch.rand(2, 3, 96, 96), torch.rand(2, 2, 3, 96, 96), torch.randn(2, 1, 80, 16)
    with torch.no_grad():
        output = net.composite(net.predict(faces, references, windows), faces, references)
    expected = torch.cat([faces[:, :, :48], references.mean(1)[:, :, 48:]], 2)
    torch.testing.assert_close(output.carried, expected, atol=1e-5, rtol=0)


def test_pixels_move_as_the_flow_says():
    """tanh(x) of a quarter of the picture, towards where the pixel is taken from."""
    (face,) = smooth(96)
    share = 6 / 96 / 0.25
    with torch.no_grad():
        moved = moving(float(np.arctanh(share)), 0, 0, 0, 50.0, 0)(face, face, torch.randn(1, 1, 80, 16))
    torch.testing.assert_close(moved[..., :-6], face[..., 6:], atol=1e-5, rtol=0)


def test_a_softmax_chooses_the_reference():
    faces, windows = torch.zeros(1, 3, 96, 96), torch.randn(1, 1, 80, 16)
    references = torch.stack([torch.full((1, 3, 96, 96), 0.2), torch.full((1, 3, 96, 96), 0.8)], 1)
    for logits, expected in (((50.0, 0.0), 0.2), ((0.0, 50.0), 0.8), ((0.0, 0.0), 0.5)):
        with torch.no_grad():
            output = moving(0, 0, 0, 0, *logits)(faces, references, windows)
        torch.testing.assert_close(output[:, :, 48:], torch.full((1, 3, 48, 96), expected))


def test_larger_pictures_keep_their_detail():
    """What a flow moves is moved in pixels of the picture, at any size alike."""
    small, large = smooth(96, 256)
    noise = 0.2 * torch.rand(1, 3, 256, 256)
    net = moving(float(np.arctanh(0.25)), 0, 0, 0, 50.0, 0)
    windows = torch.randn(1, 1, 80, 16)
    plain, fine, coarse = (repaint_faces(net, faces, windows).carried for faces in (large, large + noise, small))
    away = 256 // 16
    torch.testing.assert_close((fine - plain)[..., :-away], noise[..., away:], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        F.avg_pool2d(plain, 2)[..., 8:-8, 8:-24],
        F.interpolate(coarse, 128, mode="bilinear")[..., 8:-8, 8:-24],
        atol=0.01,
        rtol=0,
    )


def test_settings_of_flows_fit_together():
    for wrong in ({"references": 2}, {"flow": 0.2, "blend": False}, {"references": 0}, {"flow": 2.0}):
        with pytest.raises(InputError):
            Wav2LipConfig(**wrong)
    assert picture_size(MOVING) == 256
    assert picture_size(Wav2LipConfig()) == 96


def test_a_net_that_grew_begins_as_the_smaller_one(tmp_path):
    torch.manual_seed(0)
    small, grown_up = Wav2Lip().eval(), Wav2Lip(MOVING).eval()
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, "ladtalk", {"wav2lip": small}, {"wav2lip": small.config.to_dict()}, {})
    load_init(SimpleNamespace(modules={"wav2lip": grown_up}, name="wav2lip"), path)
    faces, references, windows = given()
    with torch.no_grad():
        torch.testing.assert_close(grown_up(faces, references, windows), small(faces, references, windows))
    save_checkpoint(path, "ladtalk", {"wav2lip": grown_up}, {"wav2lip": MOVING.to_dict()}, {})
    with pytest.raises(InputError, match="shape"):
        load_init(SimpleNamespace(modules={"wav2lip": small}, name="wav2lip"), path)


def test_loading(tmp_path):
    torch.manual_seed(0)
    net = Wav2Lip()
    net(*given(4))
    path = tmp_path / "some.safetensors"
    save_checkpoint(path, "ladtalk", {"wav2lip": net}, {"wav2lip": net.config.to_dict()}, {})
    loaded = build(read_checkpoint(path, "ladtalk"), WAV2LIP)
    with torch.no_grad():
        torch.testing.assert_close(loaded(*given()), net.eval()(*given()), atol=1e-5, rtol=1e-4)
    save_checkpoint(path, "ladtalk", {"other": net}, {"other": {}}, {})
    with pytest.raises(InputError, match="holds no 'wav2lip'"):
        build(read_checkpoint(path, "ladtalk"), WAV2LIP)


def test_configs():
    for name in ("tiny", "base"):
        config = Wav2LipConfig.preset(name)
        assert Wav2LipConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(InputError, match="would be 96"):
        Wav2LipConfig(size=128)
    with pytest.raises(InputError, match="stages"):
        Wav2LipConfig(decoder=(192, 64))
    with pytest.raises(InputError, match="cmyk"):
        Wav2LipConfig(colour="cmyk")
    with pytest.raises(InputError, match="huge"):
        Wav2LipConfig.preset("huge")
