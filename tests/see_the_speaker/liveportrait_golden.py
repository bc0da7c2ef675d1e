"""What the public LivePortrait code computes with weights from a formula, and the program that wrote it down.

`python -m tests.see_the_speaker.liveportrait_golden CLONE` imports the public code
(github.com/KwaiVGI/LivePortrait, MIT) from a clone, gives narrow networks the weights of `weights`, moves one picture
by another's motion as its pipeline does, and writes tests/fixtures/liveportrait_golden.json.gz.
"""

import gzip
import json
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.dae_talker.diffae_golden import uniform

GOLDEN = Path(__file__).parents[1] / "fixtures" / "liveportrait_golden.json.gz"
KEYPOINTS, SIDE = 5, 64
APPEARANCE = {
    "image_channel": 3,
    "block_expansion": 4,
    "num_down_blocks": 2,
    "max_features": 16,
    "reshape_channel": 4,
    "reshape_depth": 4,
    "num_resblocks": 2,
}
WARPING = {
    "num_kp": KEYPOINTS,
    "block_expansion": 3,
    "max_features": 16,
    "num_down_blocks": 2,
    "reshape_channel": 4,
    "estimate_occlusion_map": True,
    "dense_motion_params": {
        "block_expansion": 4,
        "max_features": 12,
        "num_blocks": 3,
        "reshape_depth": 4,
        "compress": 2,
    },
}
GENERATOR = {"upscale": 2, "block_expansion": 3, "max_features": 16, "num_down_blocks": 2, "out_channels": 6}
EXTRACTOR = {"depths": [1, 2, 1, 1], "dims": [4, 6, 8, 12]}
STITCHING = {"stitching": ([12, 8], 2), "lip": ([9], 0), "eye": ([10, 7, 6], 0)}
EVERY = {"picture": 101, "deformation": 37, "volume": 37, "occlusion": 5}
"""Of these outputs every so-manieth number is kept; of the others all."""


def weights(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """A state for these keys, `<network>/<key>`, in which signals neither die out nor grow and heads stand about
    upright."""
    state: dict[str, Tensor] = {}
    for key, shape in shapes.items():
        values, last = uniform(key, shape), key.rpartition(".")[2]
        own = key.rpartition("/")[2]
        if last == "running_var":
            values = 1 + 0.5 * values
        elif last == "num_batches_tracked":
            values = torch.tensor(3)
        elif values.ndim > 1 and last in ("weight", "weight_orig"):
            values = values * (5 / values[0].numel()) ** 0.5
        elif last == "weight":
            values = 1 + 0.3 * values
        else:
            values = 0.3 * values
        if own.startswith("detector.fc_") and last == "weight":
            values = 0.3 * values
        state[key] = values + 1 if own == "detector.fc_scale.bias" else values
    for key in [key for key in shapes if key.endswith("weight_orig")]:
        # As training keeps them: near the largest singular value's vectors, of unit length.
        flat, base = state[key].flatten(1).double(), key.removesuffix("orig")
        v = torch.ones(flat.shape[1], dtype=torch.float64)
        for _ in range(3):
            u = nn.functional.normalize(flat @ v, dim=0)
            v = nn.functional.normalize(flat.T @ u, dim=0)
        state[f"{base}u"], state[f"{base}v"] = u.float(), v.float()
    return state


def pictures() -> Tensor:
    """A source and a driven picture [2,3,64,64] in 0..1: smooth shapes."""
    y, x = torch.meshgrid(*[torch.arange(SIDE) / SIDE] * 2, indexing="ij")
    shapes = [torch.sin(6 * x + 3 * y * k) * torch.cos(5 * y - k * x) for k in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)]
    return 0.5 + 0.45 * torch.stack(shapes).reshape(2, 3, SIDE, SIDE)


def ratios() -> tuple[Tensor, Tensor]:
    """Openings of eyes [1,3] and of lips [1,2] to ask for."""
    return torch.tensor([[0.3, 0.25, 0.1]]), torch.tensor([[0.1, 0.4]])


def load() -> dict[str, Any]:
    """{"shapes" and "base" (of each network, small and full size), and the outputs by name}"""
    with gzip.open(GOLDEN, "rt") as file:
        return json.load(file)


def _shapes(net: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in net.state_dict().items()}


def networks(full: bool) -> dict[str, nn.Module]:
    """The public networks, of full size or as narrow as above; the public code is to be on the path."""
    from src.modules.appearance_feature_extractor import AppearanceFeatureExtractor
    from src.modules.convnextv2 import ConvNeXtV2
    from src.modules.motion_extractor import MotionExtractor
    from src.modules.spade_generator import SPADEDecoder
    from src.modules.stitching_retargeting_network import StitchingRetargetingNetwork
    from src.modules.warping_network import WarpingNetwork

    if full:
        import yaml

        path = Path(sys.modules["src"].__path__[0]) / "config" / "models.yaml"
        params = yaml.safe_load(path.read_text())["model_params"]
        given = {name.removesuffix("_params"): values for name, values in params.items()}
        nets: dict[str, nn.Module] = {
            "appearance_feature_extractor": AppearanceFeatureExtractor(**given["appearance_feature_extractor"]),
            "motion_extractor": MotionExtractor(**given["motion_extractor"]),
            "warping_module": WarpingNetwork(**given["warping_module"]),
            "spade_generator": SPADEDecoder(**given["spade_generator"]),
        }
        mlps = given["stitching_retargeting_module"]
        return nets | {name: StitchingRetargetingNetwork(**values) for name, values in mlps.items()}
    extractor = MotionExtractor(num_kp=KEYPOINTS)
    extractor.detector = ConvNeXtV2(num_kp=KEYPOINTS, **EXTRACTOR)
    nets = {
        "appearance_feature_extractor": AppearanceFeatureExtractor(**APPEARANCE),
        "motion_extractor": extractor,
        "warping_module": WarpingNetwork(**WARPING),
        "spade_generator": SPADEDecoder(**GENERATOR),
    }
    values = 3 * KEYPOINTS
    inputs = {"stitching": 2 * values, "lip": values + 2, "eye": values + 3}
    for name, (hidden, more) in STITCHING.items():
        nets[name] = StitchingRetargetingNetwork(inputs[name], hidden, values + more)
    return nets


def wrapper(nets: Mapping[str, nn.Module]) -> Any:
    """The public pipeline's core over these networks, on the CPU in float32."""
    from src.live_portrait_wrapper import LivePortraitWrapper

    core = LivePortraitWrapper.__new__(LivePortraitWrapper)
    core.device, core.compile = "cpu", False
    core.inference_cfg = types.SimpleNamespace(flag_use_half_precision=False)
    for name in ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"):
        setattr(core, name, nets[name].eval())
    core.stitching_retargeting_module = {name: nets[name].eval() for name in STITCHING}
    return core


@torch.no_grad()
def main(clone: str) -> None:
    sys.path.insert(0, clone)
    golden: dict[str, Any] = {"base": {name: _shapes(net) for name, net in networks(True).items()}}
    nets = networks(False)
    golden["shapes"] = {name: _shapes(net) for name, net in nets.items()}
    for name, net in nets.items():
        state = weights({f"{name}/{key}": shape for key, shape in golden["shapes"][name].items()})
        net.load_state_dict({key.partition("/")[2]: value for key, value in state.items()})
    core, (source, driven) = wrapper(nets), pictures().split(1)
    volume = core.extract_feature_3d(source)
    seen = [core.get_kp_info(picture) for picture in (source, driven)]
    # As the pipeline moves a still: the shape is the source's, the motion the driven picture's.
    own, moving = seen[0], {**seen[1], "kp": seen[0]["kp"]}
    points = [core.transform_keypoint(info) for info in (own, moving)]
    stitched = core.stitching(*points)
    made = core.warp_decode(volume, points[0], points[1])
    eyes, lips = ratios()
    outputs = {
        "volume": volume,
        **{name: torch.cat([info[name] for info in seen]) for name in seen[0]},
        "source": points[0],
        "driven": points[1],
        "stitched": stitched,
        "eyes": core.retarget_eye(points[0], eyes),
        "lips": core.retarget_lip(points[0], lips),
        "deformation": made["deformation"],
        "occlusion": made["occlusion_map"],
        "picture": made["out"],
    }
    for name, tensor in outputs.items():
        golden[name] = [float(f"{x:.7g}") for x in tensor.flatten()[:: EVERY.get(name, 1)]]
        print(f"{name}: {list(tensor.shape)}, mean {tensor.mean():.4f}, deviation {tensor.std():.4f}")
    GOLDEN.write_bytes(gzip.compress(json.dumps(golden).encode(), mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
