"""Instruments of files: each is known by what it holds and measures what the reference library does.

Weights are drawn by numpy's generator, so that what reference programs made of them can stand here as numbers.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchmetrics.functional.image import lpips as reference

from talkface_core.checkpoints import save_checkpoint
from talkface_core.cli.public_weights import find_public
from talkface_core.errors import InputError
from talkface_core.evaluation import i3d, inception, sface
from talkface_core.evaluation.catalogue import chosen, chosen_sets
from talkface_core.evaluation.evaluate import ClipScores, Evaluation, score
from talkface_core.evaluation.footage import Pair
from talkface_core.evaluation.kit import with_files
from talkface_core.evaluation.registry import Kit
from talkface_core.evaluation.weights import all_recognised, load_instrument, recognised
from talkface_core.lpips import ALEX_FILE, BACKBONES, VGG_FILE
from talkface_core.sync.evaluator import COMPONENT, SYSTEM, EvaluatorConfig, SyncEvaluator
from tests.evaluation.scores import clip
from tests.evaluation.talking import footage


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Random weights under which signals keep their size."""
    rng, state = np.random.default_rng(0), {}
    for key in sorted(shapes):
        values = rng.standard_normal(shapes[key], dtype=np.float32)
        if len(shapes[key]) > 1:
            values *= (2 / np.prod(shapes[key][1:])) ** 0.5
        else:
            values = 1 + 0.1 * np.abs(values) if key.endswith(("weight", "var")) else 0.1 * values
        state[key] = torch.from_numpy(values)
    return state


def shapes_of(make: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        net = make()
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(1).integers(0, 256, (16, 256, 256, 3), np.uint8)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    net, path = SyncEvaluator(EvaluatorConfig(vector=8, width=1 / 32)), tmp_path_factory.mktemp("kit") / "e.safetensors"
    save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, {})
    return path


def saved(folder: Path, name: str, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, folder / name)
    return folder / name


def torchvision_layers(backbone: str) -> nn.Sequential:
    """`features` of torchvision's network, in its order."""
    layers: list[nn.Module] = []
    width = 3
    for pool, convolutions in BACKBONES[backbone]:
        layers += [nn.MaxPool2d(pool, 2)] if pool else []
        for place, out, kernel, stride in convolutions:
            assert place == len(layers)
            layers += [nn.Conv2d(width, out, kernel, stride, {11: 2, 5: 2, 3: 1}[kernel]), nn.ReLU(inplace=True)]
            width = out
    return nn.Sequential(*layers, nn.MaxPool2d(2, 2))


@pytest.mark.parametrize(("backbone", "part"), [("vgg", "lpips"), ("alex", "lpips_alex")])
def test_lpips_is_that_of_torchmetrics(tmp_path, crops, monkeypatch, backbone, part):
    layers = torchvision_layers(backbone)
    layers.load_state_dict(drawn(shapes_of(lambda: torchvision_layers(backbone))))
    state = {f"features.{key}": value for key, value in layers.state_dict().items()}
    path = saved(tmp_path, "net.pth", state | {"classifier.1.weight": torch.full((2, 2), torch.nan)})
    found, distances = load_instrument(path)
    assert found == part
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_: layers)
    a, b = crops[:2, :72, :72], crops[2:4, :72, :72]
    net = reference._NoTrainLpips(net=backbone)
    x, y = (torch.from_numpy(c).permute(0, 3, 1, 2) / 255 for c in (a, b))
    torch.testing.assert_close(distances(a, b), net(x, y, normalize=True).flatten(), rtol=1e-5, atol=1e-7)
    assert distances(a, a).tolist() == [0, 0]


def test_fid_compares_what_torch_fidelity_does(tmp_path, crops):
    """The numbers are those of FeatureExtractorInceptionV3 of torch-fidelity 0.4.0 with these weights."""
    state = drawn(shapes_of(inception.InceptionV3) | {"fc.weight": (1008, 2048)})
    counts = {"Mixed_7c.branch_pool.bn.num_batches_tracked": torch.tensor(0)}
    part, features = load_instrument(saved(tmp_path, "net.pth", state | counts))
    assert part == "frame_features"
    (found,) = features(crops[:1])
    assert found[:4].tolist() == pytest.approx(FID[:4], rel=1e-4)
    assert (float(found.mean()), float(found.std())) == pytest.approx(FID[4:], rel=1e-4)
    # Of ImageNet's 1000 classes is torchvision's network, whose features are others.
    other = saved(tmp_path, "other.pth", state | {"fc.weight": torch.zeros(1000, 2048)})
    with pytest.raises(InputError, match="of 1000 classes; expected the InceptionV3 of FID"):
        load_instrument(other)


def test_fvd_compares_what_pytorch_i3d_does(tmp_path, crops):
    """The numbers are those of InceptionI3d of github.com/piergiaj/pytorch-i3d (05783d1) with these weights."""
    state = drawn(shapes_of(i3d.I3D))
    save_file(state, tmp_path / "net.safetensors")
    part, features = load_instrument(tmp_path / "net.safetensors")
    assert part == "video_features"
    (found,) = features(crops)
    assert found[:4].tolist() == pytest.approx(FVD[:4], rel=1e-4)
    assert (float(found.mean()), float(found.std())) == pytest.approx(FVD[4:], rel=1e-4)
    assert features(crops[:15]).shape == (0, 400)
    other = saved(tmp_path, "charades.pt", state | {"logits.conv3d.weight": torch.zeros(157, 1024, 1, 1, 1)})
    with pytest.raises(InputError, match=r"logits.conv3d.weight of shape \[157, 1024, 1, 1, 1\], not \[400"):
        load_instrument(other)


# Four values, the mean and the deviation.
FID = (0.0, 6.337502, 0.0, 2.007366, 1.28467, 1.666294)
FVD = (7.157671, 1.485747, 0.09108354, 3.857243, 0.114117, 3.48087)


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer, as ONNX is made of."""

    def varint(count: int) -> bytes:
        low, rest = count & 127, count >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def save_onnx(path: Path) -> Path:
    """A network that takes means over squares of 28 px of a face of 112, and multiplies them by a random matrix."""

    def tensor(name: bytes, values: np.ndarray) -> bytes:
        dims = b"".join(field(1, size) for size in values.shape)
        return field(5, dims + field(2, 1) + field(8, name) + field(9, values.astype("<f4").tobytes()))

    def node(kind: bytes, inputs: list[bytes], output: bytes, attributes: bytes = b"") -> bytes:
        told = b"".join(field(1, name) for name in inputs) + field(2, output) + field(3, output) + field(4, kind)
        return field(1, told + attributes)

    def value(number: int, name: bytes, *shape: int) -> bytes:
        dims = field(2, b"".join(field(1, field(1, size)) for size in shape))
        return field(number, field(1, name) + field(2, field(1, field(1, 1) + dims)))

    def ints(name: bytes, *values: int) -> bytes:
        return field(5, field(1, name) + b"".join(field(8, v) for v in values) + field(20, 7))

    rng = np.random.default_rng(0)
    graph = node(b"Sub", [b"data", b"scalar"], b"signed")
    graph += node(b"AveragePool", [b"signed"], b"means", ints(b"kernel_shape", 28, 28) + ints(b"strides", 28, 28))
    graph += node(b"Flatten", [b"means"], b"flat")
    graph += node(b"Gemm", [b"flat", b"matrix", b"shift"], b"fc1") + field(2, b"small")
    graph += tensor(b"scalar", np.full(1, 127.5)) + tensor(b"matrix", rng.normal(0, 0.1, (48, 128)))
    graph += tensor(b"shift", np.zeros(128)) + value(11, b"data", 1, 3, 112, 112) + value(12, b"fc1", 1, 128)
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, b"") + field(2, 13)))
    return path


def publish(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this file be the published SFace."""
    monkeypatch.setattr(sface, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_the_hash_is_that_of_the_public_table():
    (file,) = find_public("sface").files
    assert (file.name, file.sha256) == (sface.FILE, sface.SHA256)
    names = [find_public(name).files[0].name for name in ("vgg16", "alexnet", "inception-fid", "i3d")]
    assert names == [VGG_FILE, ALEX_FILE, inception.FILE, i3d.FILE]


def test_likeness(tmp_path, arrays, frames, monkeypatch):
    """Vectors of unit length, of the face as OpenCV lays it; another picture's face is another one."""
    path = publish(save_onnx(tmp_path / "face.onnx"), monkeypatch)
    part, vectors = load_instrument(path)
    assert part == "embed"
    clip = footage(frames[:6], arrays["landmarks"][:6], None)
    found = vectors(clip)
    assert found.shape == (6, 128)
    assert found.norm(dim=1).tolist() == pytest.approx([1] * 6, abs=1e-5)
    net, points = cv2.FaceRecognizerSF.create(str(path), ""), sface.five_points(clip)
    face = sface.aligned(net, frames[0], points[0])
    feature = net.feature(face)[0]
    np.testing.assert_allclose(found[0], feature / np.linalg.norm(feature), atol=1e-5)
    # The template of ArcFace: eyes at a height of 51.6, the mouth's corners at 92.3, 30 px apart.
    marked = np.zeros_like(frames[0])
    for x, y in points[0]:
        cv2.circle(marked, (round(float(x)), round(float(y))), 2, (255, 255, 255), -1)
    rows, columns = np.nonzero(sface.aligned(net, marked, points[0]).sum(2) > 300)
    assert (rows.min(), rows.max()) == (pytest.approx(50, abs=5), pytest.approx(94, abs=5))
    assert (columns.min(), columns.max()) == (pytest.approx(36, abs=5), pytest.approx(76, abs=5))
    kit = with_files(Kit(), weights=[path])
    scores = score(Pair.of("twin", clip, clip), kit, chosen(["identity"]), sets=chosen_sets(["identity"]))
    assert scores.values["identity"] == pytest.approx(scores.real["identity"])
    assert 0.9 < scores.values["identity"] <= 1
    assert (scores.features, scores.left_out) == ({}, {})
    mirrored = footage(frames[:6, :, ::-1].copy(), arrays["landmarks"][:6], None)
    assert score(Pair.of("other", mirrored, clip), kit, chosen(["identity"])).values["identity"] < 0.9


@pytest.mark.parametrize("content", ["text", "onnx", "torch", "program", "nan", "ours"])
def test_what_is_no_instrument_is_refused_in_a_line(tmp_path, evaluator, content):
    path = tmp_path / "file.onnx"
    if content == "text":
        path.write_text("no weights")
    elif content == "onnx":
        save_onnx(path)  # a network, but not the published one
    elif content == "torch":
        torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    elif content == "program":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("i3d/code/__torch__.py", "")
    elif content == "nan":
        torch.save(torchvision_state(torch.nan), path)
    else:
        path = evaluator
    with pytest.raises(InputError) as caught:
        load_instrument(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: found ")
    assert "\n" not in message
    assert REASONS[content] in message


REASONS = {
    "text": "no readable torch file",
    "onnx": "expected OpenCV's SFace (face_recognition_sface_2021dec.onnx) as published, 0ba9fbfa01b5…; fetch it anew",
    "torch": "weights of another network (1 tensors)",
    "program": "TorchScript program, which holds code and is never run",
    "nan": "weights that are no finite numbers",
    "ours": "a checkpoint of sync_evaluator, which --evaluator takes",
}


def torchvision_state(value: float) -> dict[str, torch.Tensor]:
    """AlexNet's convolutions, all of one value."""
    state, width = {}, 3
    for place, out, kernel, _ in (layer for _, layers in BACKBONES["alex"] for layer in layers):
        state |= {f"features.{place}.weight": torch.full((out, width, kernel, kernel), value)}
        state |= {f"features.{place}.bias": torch.zeros(out)}
        width = out
    return state


def test_files_are_told_apart_and_two_of_one_refused(tmp_path, monkeypatch):
    alex = saved(tmp_path, "a.pth", torchvision_state(0))
    face = publish(save_onnx(tmp_path / "b.onnx"), monkeypatch)
    assert [found.title for found in all_recognised([alex, face]).values()] == ["AlexNet of LPIPS", "SFace"]
    assert recognised(alex).part == "lpips_alex"
    with pytest.raises(InputError, match=r"a.pth and .*c.pth are both AlexNet of LPIPS; give one"):
        all_recognised([alex, face, saved(tmp_path, "c.pth", torchvision_state(0))])


def test_sets_need_two_vectors(clip_scores):
    """A clip too short for two stretches has no FVD, and says so."""
    few, enough = (clip_scores(count) for count in (1, 2))
    report = Evaluation((few,), {}).report()
    assert report.rows == []
    assert report.left_out["FVD, face"] == "the clips give 1 of the two vectors that are needed: measure longer ones"
    assert [row.key for row in Evaluation((few, enough), {}).report().rows] == ["fvd"]


@pytest.fixture
def clip_scores() -> Callable[[int], ClipScores]:
    def make(count: int) -> ClipScores:
        vectors = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
        return replace(clip(f"c{count}", 1.0), left_out={}, features={"fvd": (vectors, vectors)})

    return make
