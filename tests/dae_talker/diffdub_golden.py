"""What the public DiffDub program computes with weights from a formula, and the program that wrote it down.

`python -m tests.dae_talker.diffdub_golden CLONE` runs the public program itself (demo.py of
github.com/liutaocode/DiffDub, Apache-2.0) from a clone, whole: footage, landmarks, lips of references, speech, frames.
Its networks are shrunken and get weights of a formula; what it reads films and finds landmarks with is stood in for.
ESPnet (espnet 202402, without what it depends on) has to be importable. Writes tests/fixtures/diffdub_golden.json.gz.
"""

import gzip
import json
import runpy
import sys
import tempfile
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.dae_talker import diffae_golden
from tests.dae_talker.diffae_golden import uniform

GOLDEN = Path(__file__).parents[1] / "fixtures" / "diffdub_golden.json.gz"


@dataclass(frozen=True)
class Layout:
    """Sizes of one run: pictures, frames of footage, steps of the features, evaluations, and of the networks.

    one_shot: the lips of one frame alone are looked at, in place of 75 frames'.
    """

    size: int = 32
    frames: int = 2
    steps: int = 7
    evaluations: int = 4
    features: int = 24
    latent: int = 32
    one_shot: bool = False
    autoencoder: Mapping[str, Any] = field(
        default_factory=lambda: {
            "net_ch": 32,
            "net_ch_mult": (1, 2),
            "net_enc_channel_mult": (1, 1, 2),
            "net_attn": (16,),
            "net_beatgans_embed_channels": 32,
            "style_ch": 32,
            "net_num_res_blocks": 1,
            "sample_size": 1,
        }
    )


SMALL = Layout()
FULL = Layout(256, 1, 7, 4, 1024, 512, one_shot=True, autoencoder={"sample_size": 1})
LAYERS = 25
EVERY = 7
"""Of the painted frames every so-manieth number is kept."""


def weights(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """A state for stage 2's keys in which nothing is zero and signals neither die out nor grow."""
    state = {}
    for key, shape in shapes.items():
        values = uniform(key, shape)
        if key.endswith("num_batches_tracked"):
            values = torch.zeros((), dtype=torch.int64)
        elif key.endswith("running_var"):
            values = 1 + 0.5 * values
        elif key.endswith("encoder.weights"):
            values = 1.5 * values
        elif ".pos_bias_" in key:
            values = 3 * values
        elif values.ndim > 1:
            values = values * (3 / values[0].numel()) ** 0.5
        else:
            values = 0.2 * values + (".norm" in key and key.endswith("weight"))
        state[key] = values
    return state


def footage(layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Frames [n,S,S,3] RGB and the landmarks in them [n,68,2] in pixels."""
    shape = (layout.frames, layout.size, layout.size, 3)
    frames = ((uniform("footage", shape) + 1) * 127.5).to(torch.uint8).numpy()
    # Spread over the face as the points that matter are; the others are not looked at.
    points = np.zeros((68, 2), np.float32)
    places = {6: (0.4, 0.76), 8: (0.5, 0.8), 10: (0.62, 0.77), 21: (0.45, 0.4), 30: (0.52, 0.55)}
    for n, place in places.items():
        points[n] = place
    moved = points + 0.03 * uniform("moved", (layout.frames, 68, 2)).numpy()
    return frames, (moved * layout.size).astype(np.float32)


def hidden_states(layout: Layout) -> Tensor:
    """What stands for a HuBERT's hidden states: [25, steps, features]."""
    return uniform("hidden", (LAYERS, layout.steps, layout.features))


def shared_noise(size: int) -> Tensor:
    """What stands for the noise that is drawn: [1,3,S,S]."""
    return 1.7 * uniform("x_T", (1, 3, size, size))


def load() -> dict[str, Any]:
    """{"stage1", "stage2", "stage2_full" (shapes), "lips" (latents), "said", "painted" (every `EVERY`th number)}"""
    with gzip.open(GOLDEN, "rt") as file:
        return json.load(file)


class _Lightning(torch.nn.Module):
    def save_hyperparameters(self, *_: Any, **__: Any) -> None:
        pass


class _ToTensor:
    def __call__(self, picture: Any) -> Tensor:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float() / 255


class _Normalize:
    def __init__(self, mean: Any, std: Any) -> None:
        self.mean, self.std = (torch.tensor(part)[:, None, None] for part in (mean, std))

    def __call__(self, picture: Tensor) -> Tensor:
        return (picture - self.mean) / self.std


class _Film:
    """Stands for OpenCV's reader of films."""

    frames: NDArray[np.uint8]

    def __init__(self, *_: Any) -> None:
        self.left = [frame[:, :, ::-1].copy() for frame in self.frames]

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        return (True, self.left.pop(0)) if self.left else (False, None)

    def release(self) -> None:
        pass


def stand_in(clone: str) -> None:
    """Make the clone importable, and stand in for the packages that it names and this run needs nothing of."""
    import torch._dynamo  # looks at what is installed, and must not meet what stands in

    sys.path.insert(0, clone)
    transforms = types.SimpleNamespace(
        ToTensor=_ToTensor,
        Normalize=_Normalize,
        Compose=lambda parts: lambda picture: parts[1](parts[0](picture)),
    )
    lightning = types.ModuleType("pytorch_lightning")
    lightning.LightningModule, lightning.loggers, lightning.seed_everything = _Lightning, None, torch.manual_seed
    callbacks = types.ModuleType("pytorch_lightning.callbacks")
    callbacks.__all__ = []
    function_base = types.ModuleType("numpy.lib.function_base")
    function_base.flip = np.flip
    sys.modules |= {
        "numpy.lib.function_base": function_base,
        "pytorch_lightning": lightning,
        "pytorch_lightning.callbacks": callbacks,
        "torchvision": types.SimpleNamespace(transforms=transforms, __path__=[]),
        "torchvision.transforms": transforms,
    }
    names = ("albumentations", "lmdb", "moviepy", "moviepy.editor", "pandas", "torchlm", "torchlm.models")
    sys.modules |= {name: MagicMock() for name in (*names, "torchlm.tools", "torchvision.utils")}


def public_run(layout: Layout, folder: Path, state: Any = None) -> dict[str, Any]:
    """Run the public program, of which `stand_in` has made an importable clone, in a folder.

    state(stage 1's shapes, stage 2's) gives the weights, None: the formulas'. Returns the stages' files and shapes, the
    first stage, and of what it computes the references' latents [75,D], what is said [1,T,D] and the painted frames
    [n,3,S,S] in 0..1.
    """
    import cv2
    import experiment
    import model.speech2latent as speech
    import templates
    import torchlm

    made = templates.ffhq256_autoenc

    def shrunken() -> Any:
        conf = made()
        for name, value in layout.autoencoder.items():
            setattr(conf, name, value)
        return conf

    templates.pretrain_ffhq256_autoenc = shrunken
    speech.LatentPredictor.__init__.__defaults__ = (layout.features, layout.latent, False)
    conf = shrunken()
    conf.img_size, conf.N_frames = layout.size, 1
    stages = experiment.Rendering_Model(conf), speech.Seq2SeqModel()
    shapes = [{key: list(value.shape) for key, value in net.state_dict().items()} for net in stages]
    files = [folder / "stage1_state_dict.ckpt", folder / "stage2_state_dict.ckpt"]
    for net, given, file in zip(stages, (state or formula_states)(*shapes), files, strict=True):
        net.load_state_dict(given)
        torch.save({"state_dict": net.state_dict()}, file)

    frames, points = footage(layout)
    by_content = {frame[:, :, ::-1].tobytes(): n for n, frame in enumerate(frames)}
    torchlm.runtime.forward = lambda frame: (points[by_content[frame.tobytes()]][None].copy(), None)
    _Film.frames, cv2.VideoCapture = frames, _Film
    np.save(folder / "heard.npy", hidden_states(layout).numpy())
    seen: dict[str, list[Tensor]] = {"lips": [], "said": [], "painted": []}
    _record(experiment.Rendering_Model, "encode", seen["lips"])
    _record(experiment.Rendering_Model, "render", seen["painted"])
    _record(speech.GradTalker, "forward", seen["said"])
    draw, read = torch.randn, torch.load
    torch.randn = lambda *shape, **more: shared_noise(layout.size) if shape == ((1, 3, 256, 256),) else draw(*shape)
    torch.load = lambda *args, **more: read(*args, **more, weights_only=False)
    try:
        source = (
            Path(sys.path[0], "demo.py").read_text().replace("conf.img_size = 256", f"conf.img_size = {layout.size}")
        )
        demo = folder / "demo.py"
        demo.write_text(source)
        sys.argv = ["demo.py", "--video_inference", "--device", "cpu", "--denoising_step", str(layout.evaluations)]
        sys.argv += ["--stage1_checkpoint_path", str(files[0]), "--stage2_checkpoint_path", str(files[1])]
        sys.argv += ["--one_shot"] * layout.one_shot + [
            "--saved_path",
            str(folder / "out"),
            "--hubert_feat_path",
            str(folder / "heard.npy"),
        ]
        runpy.run_path(str(demo), run_name="__main__")
    finally:
        torch.randn, torch.load = draw, read
    return {
        "files": files,
        "shapes": shapes,
        "stage1": stages[0],
        **{name: torch.cat(parts) for name, parts in seen.items()},
    }


def formula_states(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Both stages' states by the formulas; the weights that are not averaged are none of DiffDub's inference."""
    averaged = {key.removeprefix("ema_model."): shape for key, shape in first.items() if key.startswith("ema_model.")}
    state = {f"ema_model.{key}": value for key, value in diffae_golden.weights(averaged).items()}
    return {key: state[key] if key in state else torch.zeros(shape) for key, shape in first.items()}, weights(second)


def _record(kind: type, name: str, into: list[Tensor]) -> None:
    """Let a method write down what it returns."""
    method = getattr(kind, name)

    @torch.no_grad()
    def recording(self: Any, *args: Any, **more: Any) -> Any:
        into.append(result := method(self, *args, **more))
        return result

    setattr(kind, name, recording)


def main(clone: str) -> None:
    stand_in(clone)
    with tempfile.TemporaryDirectory() as folder:
        ran = public_run(SMALL, Path(folder))
    from model.speech2latent import LatentPredictor, Seq2SeqModel

    LatentPredictor.__init__.__defaults__ = (1024, 512, False)
    with torch.device("meta"):
        whole = {key: list(value.shape) for key, value in Seq2SeqModel().state_dict().items()}
    golden: dict[str, Any] = {"stage1": ran["shapes"][0], "stage2": ran["shapes"][1], "stage2_full": whole}
    for name, every in (("lips", 1), ("said", 1), ("painted", EVERY)):
        numbers = (ran[name][: SMALL.frames] if name == "lips" else ran[name]).flatten()[::every]
        golden[name] = [float(f"{x:.7g}") for x in numbers]
        print(f"{name}: {len(numbers)} numbers, rms {numbers.square().mean().sqrt():.3f}")
    GOLDEN.write_bytes(gzip.compress(json.dumps(golden).encode(), mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
