"""Conversion of public Wav2Lip checkpoints: equal numbers, the published layout, and every other file refused."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from talkface_core.checkpoints import read_checkpoint
from talkface_core.errors import InputError
from talkface_core.ladtalk.convert import EXPERT_SHIFT, GENERATOR_SHIFT, convert_wav2lip, read_wav2lip, recognises
from talkface_core.ladtalk.wav2lip import Wav2Lip, Wav2LipConfig, inference_copy
from talkface_core.sync.syncnet import SyncNet
from tests.ladtalk.wav2lip_golden import EVERY, inputs, load, weights


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return load()


def public_file(path: Path, shapes: dict[str, list[int]], state: dict[str, Tensor] | None = None) -> Path:
    """A file as the public trainer writes it, from DataParallel. Without `state` it takes next to no room."""
    state = state or {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    named = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": named, "optimizer": None, "global_step": 5, "global_epoch": 1}, path)
    return path


def relative(actual: Tensor, expected: list[float]) -> float:
    expected = torch.tensor(expected)
    return float((actual.flatten() - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def generator(golden, tmp_path_factory) -> Wav2Lip:
    shapes = golden["generator"]["shapes"]
    path = public_file(tmp_path_factory.mktemp("public") / "wav2lip.pth", shapes, weights(shapes))
    assert recognises(path)
    written = convert_wav2lip(path)
    path.unlink()
    checkpoint = read_checkpoint(written, "ladtalk")
    assert "non-commercial" in checkpoint.provenance["licence"]
    net = Wav2Lip(Wav2LipConfig.from_dict(checkpoint.configs["wav2lip"]))
    checkpoint.load_into(net, "wav2lip")
    written.unlink()
    return net.eval()


@torch.no_grad()
def test_the_generator_computes_what_the_public_code_does(golden, generator):
    given = inputs()
    arguments = [given[name] for name in ("faces", "references", "windows")]
    expected = golden["generator"]["pixels"]
    assert torch.tensor(expected).std() > 0.05
    output = generator(*arguments)
    assert relative(output.flatten()[::EVERY], expected) < 1e-4
    folded = inference_copy(generator)
    assert relative(folded(*arguments).flatten()[::EVERY], expected) < 1e-4
    assert (generator.config.colour, generator.config.mel_shift) == ("bgr", GENERATOR_SHIFT)


@torch.no_grad()
def test_the_expert_computes_what_the_public_code_does(golden, tmp_path):
    shapes = golden["expert"]["shapes"]
    path = public_file(tmp_path / "lipsync_expert.pth", shapes, weights(shapes))
    assert recognises(path)
    net, provenance = read_wav2lip(path)
    assert isinstance(net, SyncNet)
    assert "non-commercial" in provenance["licence"]
    faces, speech = net(inputs()["halves"], inputs()["windows"])
    assert relative(faces, golden["expert"]["faces"]) < 1e-4
    assert relative(speech, golden["expert"]["speech"]) < 1e-4
    assert (net.config.colour, net.config.mel_shift) == ("bgr", EXPERT_SHIFT)
    # ReLUs at the end: the cosine is a probability.
    assert (faces >= 0).all()


def test_other_files_are_refused(golden, tmp_path):
    shapes = golden["expert"]["shapes"]
    lacking = dict(list(shapes.items())[:-1])
    with pytest.raises(InputError, match="no weights for"):
        read_wav2lip(public_file(tmp_path / "lacking.pth", lacking))
    other = {**shapes, "audio_encoder.0.conv_block.0.weight": [64, 1, 3, 3]}
    with pytest.raises(InputError, match="shape"):
        read_wav2lip(public_file(tmp_path / "other.pth", other))
    more = {**shapes, "face_encoder.99.conv_block.0.weight": [4, 4, 3, 3]}
    with pytest.raises(InputError, match="does not have"):
        read_wav2lip(public_file(tmp_path / "more.pth", more))
    foreign = tmp_path / "foreign.pth"
    torch.save({"state_dict": {"layer.weight": torch.zeros(2)}}, foreign)
    assert not recognises(foreign)
    with pytest.raises(InputError, match="another network"):
        convert_wav2lip(foreign)
    with pytest.raises(InputError, match="no such file"):
        convert_wav2lip(tmp_path / "missing.pth")
    with pytest.raises(InputError, match="safetensors"):
        convert_wav2lip(foreign, tmp_path / "out.pth")


class _Foreign:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_is_run(tmp_path, capsys):
    pickled = tmp_path / "pickled.pth"
    pickled.write_bytes(pickle.dumps({"state_dict": _Foreign()}))
    with pytest.raises(InputError, match="readable torch file"):
        recognises(pickled)
    script = tmp_path / "script.pth"
    torch.jit.script(torch.nn.Linear(2, 2)).save(script)
    for call in (recognises, read_wav2lip):
        with pytest.raises(InputError, match="TorchScript"):
            call(script)
    assert "unpickled" not in capsys.readouterr().out
