"""What the nodes say about themselves, where there is no host: their files run against stand-ins for its modules.

python -m tests.schemas --write   # writes locales/en/nodeDefs.json, which says what the nodes say
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

ROOT = Path(__file__).parents[1]
ENGLISH = ROOT / "locales" / "en" / "nodeDefs.json"

NodeDefs = dict[str, dict[str, Any]]
"""The host's form: node id -> display_name, description, inputs {id: {name, tooltip}}, outputs {"0": the same}."""


@lru_cache(maxsize=1)
def node_defs() -> NodeDefs:
    """The texts of all nodes, read in a process of its own, which the stand-ins do not outlive."""
    read = subprocess.run([sys.executable, "-m", __name__], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(read.stdout)


class _Socket:
    """An input or an output as the node describes it."""

    def __init__(self, id: str | None = None, display_name: str | None = None, tooltip: str = "", **_: Any) -> None:
        self.id, self.display_name, self.tooltip, self.extra_dict = id, display_name, tooltip, {}


@dataclass
class _Schema:
    node_id: str
    display_name: str
    category: str
    description: str
    inputs: list[_Socket] = field(default_factory=list)
    outputs: list[_Socket] = field(default_factory=list)


class _IO(ModuleType):
    """`comfy_api.latest.io`: any attribute that is not named here is a type with an Input and an Output."""

    ComfyNode, Schema = object, _Schema
    UploadType = NumberDisplay = Hidden = MagicMock()

    def __getattr__(self, name: str) -> SimpleNamespace:
        return self.Custom(name)

    @staticmethod
    def Custom(_: str) -> SimpleNamespace:
        return SimpleNamespace(Input=_Socket, Output=_Socket)


def _read() -> NodeDefs:
    pack, api = ModuleType("pack"), ModuleType("comfy_api.latest")
    pack.__path__ = [str(ROOT)]  # the folder as a package, as the host loads it
    api.io, api.ui, api.InputImpl, api.ComfyExtension = _IO("io"), MagicMock(), MagicMock(), object
    folders = MagicMock()
    folders.get_input_directory.return_value = str(Path(__file__).parent)
    folders.filter_files_content_types.side_effect = lambda files, kinds: list(files)
    folders.get_filename_list.return_value = []
    comfy = [f"comfy.{name}" for name in ("cli_args", "model_management", "model_patcher", "ops", "utils")]
    sys.modules |= {name: MagicMock() for name in ("comfy", *comfy, "comfy_execution", "comfy_execution.utils")}
    sys.modules |= {"pack": pack, "comfy_api": MagicMock(), "comfy_api.latest": api, "folder_paths": folders}
    nodes = importlib.import_module("pack.nodes").NODES
    return {schema.node_id: _texts(schema) for schema in (node.define_schema() for node in nodes)}


def _texts(schema: _Schema) -> dict[str, Any]:
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {part.id: {"name": part.id, "tooltip": part.tooltip} for part in schema.inputs},
        "outputs": {
            str(index): {"name": part.display_name, "tooltip": part.tooltip}
            for index, part in enumerate(schema.outputs)
        },
    }


if __name__ == "__main__":
    text = json.dumps(_read(), indent=2, ensure_ascii=False)
    if "--write" in sys.argv:
        ENGLISH.parent.mkdir(parents=True, exist_ok=True)
        ENGLISH.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
