"""On a GPU that is short of memory no part of a network stays behind unnoticed: the meta device stands for the GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .inside import run_inside
from .server import Host

SCRIPT = """
import logging
logging.getLogger().setLevel(logging.INFO)
GPU = torch.device("meta")
mm.get_torch_device = lambda: GPU
mm.vram_state = mm.VRAMState.NO_VRAM
mm.get_free_memory = lambda device=None, torch_free_too=False: (2**33, 2**33) if torch_free_too else 2**33
host, loaders, inputs = (of_pack(name) for name in ("nodes.host", "nodes.loaders", "nodes.face_inputs"))

to_device = torch.nn.Module.to

def to(module, *args, **options):
    # Off this GPU come zeros: it holds no numbers.
    if torch._C._nn._parse_to(*args, **options)[0] == torch.device("cpu"):
        module._apply(lambda tensor: torch.zeros_like(tensor, device="cpu") if tensor.is_meta else tensor)
    return to_device(module, *args, **options)

torch.nn.Module.to = to

def left(network):
    names = []
    for name, module in network.named_modules():
        own = dict(module.named_buffers(recurse=False))
        if not hasattr(module, "comfy_cast_weights"):  # such layers fetch their weights
            own.update(module.named_parameters(recurse=False))
        names += [f"{name}.{key}" for key, tensor in own.items() if tensor.device != GPU]
    return names

def places(component):
    return sorted({tensor.device.type for tensor in [*component.network.parameters(), *component.network.buffers()]})

components = {}
for dtype in ("float32", "float16"):
    speech, dae, _ = loaders.LoadDAETalker.execute("dae_talker_tiny", dtype).result
    lips, texture = loaders.LoadLaDTalk.execute("ladtalk_tiny", dtype).result
    found = {"speech2latent": speech, "dae": dae, "wav2lip": lips, "sovqae": texture}
    components.update({f"{name} {dtype}": one for name, one in found.items()})
components["detector"] = inputs._bundled(GPU)

values = {"left": {}, "loaded": {}, "freed": {}, "size": {}}
for name, one in components.items():
    host.load(one)
    values["left"][name] = left(one.network)
    values["loaded"][name] = places(one)
    # Room for a little: of what cannot be split nothing may be left in two places.
    mm.get_free_memory = lambda device=None, torch_free_too=False: (2**10, 2**10) if torch_free_too else 2**10
    mm.free_memory(2**11, GPU)
    mm.get_free_memory = lambda device=None, torch_free_too=False: (2**33, 2**33) if torch_free_too else 2**33
    values["freed"][name] = places(one)
    mm.unload_all_models()

network = host.load(components["dae float16"])
size = network.config.image_size
frames = torch.zeros(2, 3, size, size, device=GPU)
latents = network.encode(frames)
step = torch.zeros(2, dtype=torch.long, device=GPU)
values["computed"] = network(frames.half(), step, latents.half()).device.type

from types import SimpleNamespace  # a detector itself reads numbers off its network
inputs.BundledDetector = lambda finder, reader, threshold: SimpleNamespace(finder=finder, threshold=threshold)
first, second = inputs.detector_of("bundled"), inputs.detector_of("bundled", 0.9)
values["kept"] = first.finder is second.finder and first.threshold != second.threshold
values["in the books"] = [type(one.model.model).__name__ for one in mm.current_loaded_models]
values["follows"] = places(inputs._bundled(GPU))

mm.intermediate_device, mm.intermediate_dtype = lambda: GPU, lambda: torch.float16
mask = host.handed_on(torch.zeros(1, 2, 2))
values["handed on"] = [mask.device.type, str(mask.dtype)]

mm.args.fp8_e4m3fn_unet = True
values["fp8"] = [str(one) for one in host.pick_dtype("auto", {"weight": torch.zeros(8)})]

class Dynamic(comfy.model_patcher.ModelPatcher):
    pass

comfy.model_patcher.CoreModelPatcher = Dynamic
values["core"] = [type(host.managed(torch.nn.Linear(1, 1), streams)).__name__ for streams in (False, True)]
report(values)
"""


@pytest.fixture(scope="module")
def found(host: Host, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen on a host under --novram."""
    return run_inside(host, pack, tmp_path_factory.mktemp("gpu"), SCRIPT)


def test_nothing_is_left_on_the_cpu(found: dict[str, Any]) -> None:
    assert len(found["left"]) == 9
    for name, left in found["left"].items():
        # Learned maps that are added to another tensor, and go to its device as they are.
        expected = ["encoder.stem.position", "unet.stem.position"] if name.startswith("dae") else []
        assert left == expected, name
        assert ("cpu" in found["loaded"][name]) == name.startswith("dae"), name


def test_the_log_tells_what_is_loaded_whole(found: dict[str, Any]) -> None:
    for kind in ("SpeechModel", "Wav2LipModel", "SOVQAE", "ModuleList"):
        assert f"TalkFace: all of {kind} is loaded, " in found["log"]
    assert "TalkFace: all of DiffusionAutoencoder" not in found["log"]


def test_what_cannot_be_split_goes_whole(found: dict[str, Any]) -> None:
    assert {name: places for name, places in found["freed"].items() if places != ["cpu"]} == {}


def test_weights_that_were_left_are_fetched(found: dict[str, Any]) -> None:
    assert found["computed"] == "meta"


def test_the_detector_is_kept_and_in_the_books(found: dict[str, Any]) -> None:
    assert found["kept"]
    assert found["in the books"].count("ModuleList") == 1
    assert found["follows"] == ["meta"]


def test_masks_lie_where_frames_do(found: dict[str, Any]) -> None:
    assert found["handed on"] == ["meta", "torch.float16"]


def test_a_type_that_networks_do_not_know_is_not_handed_to_them(found: dict[str, Any]) -> None:
    assert found["fp8"] == ["torch.float32"] * 2
    assert "TalkFace: ComfyUI is set to torch.float8_e4m3fn" in found["log"]


def test_the_patcher_is_of_the_kind_that_the_host_uses_for_its_own(found: dict[str, Any]) -> None:
    assert found["core"] == ["Dynamic", "Dynamic"]
