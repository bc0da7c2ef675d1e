"""Runs a script within the host's own process, without a server: for what no request can bring about."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from .server import FOLDERS, Host, environment

_BEFORE = """
import asyncio, json, os, sys
pack, base = sys.argv[1:]
sys.argv = ["main.py", "--cpu", "--disable-api-nodes", "--base-directory", base]
import comfy.options
comfy.options.enable_args_parsing()
import utils.extra_config  # before `nodes`, as the host does: that puts a folder with another `utils` on the path
import comfy.model_management as mm, comfy.model_patcher, nodes, server, torch
asyncio.run(nodes.load_custom_node(pack))
NODES = {name.removeprefix("TalkFace"): node for name, node in nodes.NODE_CLASS_MAPPINGS.items() if "TalkFace" in name}

def of_pack(name):
    return next(module for key, module in sys.modules.items() if key.endswith("talkface." + name))

def report(values):
    print("REPORT", json.dumps(values), flush=True)
    os._exit(0)  # patchers that are alive stumble over the host's modules as these go

torch.set_grad_enabled(False)
"""


def run_inside(host: Host, pack: Path, base: Path, script: str) -> dict[str, Any]:
    """What a script handed to its `report`, and below "log" what the host said.

    It finds `mm`, the host's model management, `NODES` by their short names, and `of_pack("nodes.host")` for modules.
    """
    for name in FOLDERS:
        (base / name).mkdir(parents=True, exist_ok=True)
    words = [str(host.python), "-c", _BEFORE + script, str(pack), str(base)]
    done = subprocess.run(words, cwd=host.path, env=environment(), capture_output=True, text=True, timeout=600)
    lines = [line for line in done.stdout.splitlines() if line.startswith("REPORT ")]
    assert lines, done.stdout + done.stderr
    return {**json.loads(lines[0].removeprefix("REPORT ")), "log": done.stdout + done.stderr}
