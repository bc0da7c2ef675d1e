"""Conversion of RestoreFormer++'s public networks: equal numbers, the published layout, every other file refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.faces.align import template
from talkface_core.ladtalk.convert_restoreformer import convert_restoreformer, read_restoreformer, recognises
from talkface_core.ladtalk.enhance import enhance
from talkface_core.ladtalk.robustness import certify, same_codes
from talkface_core.ladtalk.sovqae import FRAMINGS, SOVQAE, TEXTURE, SOVQAEConfig
from tests.ladtalk.restoreformer_golden import EVERY, KINDS, inputs, load, public_file, small_file, weights


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return load()


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> dict[str, SOVQAE]:
    """Each kind, written, converted and loaded as a pipeline loads it."""
    folder, nets = tmp_path_factory.mktemp("public"), {}
    for kind in KINDS:
        path = small_file(folder / "last.ckpt", kind)
        assert recognises(path)
        checkpoint = read_checkpoint(convert_restoreformer(path, folder / f"{kind}.safetensors"), "ladtalk")
        assert "Apache-2.0" in checkpoint.provenance["licence"]
        assert "CC BY-NC-SA" in checkpoint.provenance["licence"]
        assert checkpoint.provenance["source"].startswith(f"{kind} ")
        nets[kind] = build(checkpoint, TEXTURE)
    return nets


def relative(actual: torch.Tensor, expected: list[float]) -> float:
    wanted = torch.tensor(expected)
    return float((actual.flatten()[::EVERY] - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_computes_what_the_public_code_does(golden, nets, kind):
    expected, net = golden[kind], nets[kind]
    assert torch.tensor(expected["pixels"]).std() > 0.3
    assert len(set(expected["codes"])) > 10
    encodings = net.encode(inputs()).movedim(-1, 1)
    assert relative(encodings, expected["encodings"]) < 1e-4
    output = net(inputs())
    assert output.quantised.codes.flatten().tolist() == expected["codes"]
    assert relative(output.frames, expected["pixels"]) < 1e-4
    assert net.config.heads == KINDS[kind][0]


@torch.no_grad()
def test_what_differs_between_the_kinds_is_seen(golden, nets, tmp_path):
    """Each of these changes the picture: else the comparison above would not tell whether it is right."""
    path = small_file(tmp_path / "last.ckpt")
    for kind, changes in (
        ("RestoreFormer++", {"heads": 8}),
        ("ROHQD", {"heads": 1}),
    ):
        small_file(path, kind)
        other, _ = read_restoreformer(path, **changes)
        assert relative(other(inputs()).frames, golden[kind]["pixels"]) > 1e-3
    guided = nets["RestoreFormer++"]
    encodings, guides = guided.encoder.with_guides(inputs())
    assert torch.equal(encodings, guided.encoder(inputs()))
    z_q = guided.quantiser.lookup(guided.codes(inputs())).movedim(-1, 1)
    drawn = guided.decoder(z_q, guides=guides)
    for n in (-1, -2):  # the scales that it asks
        scales = list(guides.scales)
        scales[n] = scales[n].flip(-1)
        assert not torch.allclose(guided.decoder(z_q, guides=guides._replace(scales=tuple(scales))), drawn, atol=1e-3)
    assert not torch.allclose(
        guided.decoder(z_q, guides=guides._replace(middle=guides.middle.flip(-1))), drawn, atol=1e-3
    )
    with pytest.raises(InputError, match="asks the encoder"):
        guided.decode(guided.codes(inputs()))


def test_margin_and_bound_hold_for_the_converted_codes(nets):
    """Noise within the bound of every place leaves the codes; the report tells a network that asks the footage."""
    net, frames = nets["ROHQD"], inputs()[:1]
    certificate = certify(net, frames, iterations=3)
    assert certificate.margins.shape == (1, 8, 8)
    assert (certificate.bounds > 0).all()
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    assert same_codes(net, frames, frames + 0.5 * certificate.bounds.min() * noise / noise.norm()).all()
    assert not same_codes(net, frames, frames + 0.3 * noise).all()
    asking = SOVQAE(replace(nets["RestoreFormer++"].config, image_size=32))
    asking.load_state_dict(nets["RestoreFormer++"].state_dict())
    pictures = (frames.movedim(1, -1) + 1) / 2
    restored, report = enhance(asking.eval(), pictures, look_at=1)
    assert restored.shape == pictures.shape
    assert not torch.allclose(restored, pictures, atol=0.05)
    assert report.margin > 0
    assert report.bound > 0
    assert "asks the footage too" in str(report)
    assert "asks the footage too" not in str(replace(report, guided=False))


def test_the_published_sizes(tmp_path):
    """Their settings, and as many weights as the published files hold: 294 MB and 291 MB of float32."""
    base = SOVQAEConfig.preset("base")
    scales = len(base.channels)
    rohqd = replace(base, taming=True, heads=4)
    asking = {
        "RestoreFormer": replace(rohqd, heads=8, guided=tuple(n == scales - 1 for n in range(scales))),
        "RestoreFormer++": replace(rohqd, guided=tuple(n >= scales - 2 for n in range(scales))),
    }
    sizes = {"RestoreFormer": 290_861_237, "RestoreFormer++": 294_028_815}
    with torch.device("meta"):
        for kind, config in asking.items():
            held = 4 * sum(weight.numel() for weight in SOVQAE(config).parameters())
            # Besides, their files hold names, the 1x1 that is folded here, and norms that nothing uses.
            assert 0.995 < held / sizes[kind] < 1


def test_faces_are_framed_as_ffhq_s(nets):
    """The public programs put the centres of the mean face's eyes at these points of 512 px; ours are tighter."""
    framing = FRAMINGS[nets["ROHQD"].config.framing]
    corners = 512 * template(framing)[-4:]
    centres = torch.stack([corners[:2].mean(0), corners[2:].mean(0)])
    published = torch.tensor([[192.98, 239.95], [318.90, 240.19]], dtype=torch.float64)
    torch.testing.assert_close(centres, published, atol=4, rtol=0)
    assert framing.height < 0.85 * FRAMINGS["own"].height


def test_other_files_are_refused(golden, tmp_path):
    shapes, path = golden["ROHQD"]["shapes"], tmp_path / "last.ckpt"
    for changed, words in (
        ({key: shape for key, shape in shapes.items() if key != "decoder.up.0.block.1.conv1.bias"}, "no weights for"),
        ({key: shape for key, shape in shapes.items() if key != "decoder.mid.attn_1.k.weight"}, "attn_1.k.weight"),
        ({**shapes, "decoder.conv_in.weight": [64, 32, 5, 5]}, "shape"),
        ({**shapes, "encoder.quant.weight": [3]}, "does not have"),
        ({**shapes, "quantize.embedding.weight": [4]}, "other sizes"),
    ):
        with pytest.raises(InputError, match=words):
            read_restoreformer(public_file(path, weights(changed, guided=False, plain=True)))
    torch.save({"state_dict": {"layer.weight": torch.zeros(2)}}, path)
    assert not recognises(path)
    with pytest.raises(InputError, match="another network"):
        read_restoreformer(path)
    with pytest.raises(InputError, match="no such file"):
        convert_restoreformer(tmp_path / "missing.ckpt")
    with pytest.raises(InputError, match="safetensors"):
        convert_restoreformer(path, tmp_path / "out.pth")


@pytest.mark.parametrize("changes", [{"heads": 3}, {"heads": 0}, {"guided": (True,)}, {"bypass": 12, "guided": None}])
def test_settings_of_which_no_network_can_be_made(nets, changes):
    config = nets["RestoreFormer++"].config
    changes = {name: config.guided if value is None else value for name, value in changes.items()}
    with pytest.raises(InputError):
        replace(config, **changes)
