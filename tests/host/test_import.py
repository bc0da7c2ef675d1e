"""What the host's process is like after it has imported the pack: as before."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .server import Host, environment

SCRIPT = """
import asyncio, json, locale, logging, os, random, signal, sys, tempfile, warnings
pack, base = sys.argv[1:]
sys.argv = ["main.py", "--cpu", "--disable-api-nodes", "--base-directory", base]
import comfy.options
comfy.options.enable_args_parsing()
import utils.extra_config  # before `nodes`, as the host does: that puts a folder with another `utils` on the path
import folder_paths, nodes, numpy, server, torch

def state():
    numpy_state = numpy.random.get_state()
    handlers = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    return {
        "sys.path": list(sys.path), "environment": dict(os.environ), "working folder": os.getcwd(),
        "temp folder": [tempfile.gettempdir(), tempfile.tempdir, folder_paths.get_temp_directory()],
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "dtype": str(torch.get_default_dtype()), "gradients": torch.is_grad_enabled(),
        "backends": [torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.mkldnn.enabled,
                     torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()],
        "random": [int(torch.get_rng_state().sum()), int(numpy_state[1].sum()), hash(random.getstate())],
        "warnings": [str(f) for f in warnings.filters], "locale": locale.setlocale(locale.LC_ALL),
        "logging": [logging.getLogger().level, len(logging.getLogger().handlers)],
        "handlers": [*handlers, str(sys.excepthook), str(sys.stdout), str(sys.stderr)],
        "folders": sorted(set(folder_paths.folder_names_and_paths) - {"talkface"}),
        "core folders": {k: str(v) for k, v in folder_paths.folder_names_and_paths.items() if k != "talkface"},
    }

modules = set(sys.modules)
before = state()
print("MARK", flush=True), print("MARK", file=sys.stderr, flush=True)
loaded = asyncio.run(nodes.load_custom_node(pack))
print("MARK", flush=True), print("MARK", file=sys.stderr, flush=True)
after = state()
changed = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
new = sorted({name.split(".")[0] for name in set(sys.modules) - modules})
print(json.dumps({"loaded": loaded, "changed": changed, "modules": new, "folder": os.path.isdir(
                  os.path.join(base, "models", "talkface")), "registered": "talkface" in
                  folder_paths.folder_names_and_paths}))
"""


def test_importing_the_pack_changes_nothing_in_the_host(host: Host, pack: Path, tmp_path: Path) -> None:
    for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
        (tmp_path / name).mkdir()
    words = [str(host.python), "-W", "default", "-c", SCRIPT, str(pack), str(tmp_path)]
    done = subprocess.run(words, cwd=host.path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    out, err = (text.split("MARK\n") for text in (done.stdout, done.stderr))
    report = json.loads(out[2])
    assert report["loaded"]
    assert report["changed"] == {}
    assert report["folder"], "models/talkface is not there for those who have a file to put into it"
    assert report["registered"], "the folder models/talkface is unknown to the host"
    assert out[1] + err[1] == "", "the import printed something"
    # Short names could be taken for, or hide, those of the host and of other packs.
    assert not {"talkface_core", "sockets", "loaders", "audio", "pose", "video", "host"} & set(report["modules"])
