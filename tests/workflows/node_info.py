"""What is checked of a workflow where there is no host: a snapshot of the host's /object_info, in node_info.json.

The shape: node id -> {"title": str, "inputs": {name: input}, "outputs": {name: type}}, all in the schema's order. An
input is {"type": str} and, where the host names them, "optional": true, "default", "min", "max", "options",
"seed": true (a second widget, control_after_generate, follows) and "upload": "audio" | "image" | "video" (a button
follows). Tooltips are left out, and so is what depends on a user's files: of a combo with an upload button only the
pack's samples are kept. Options are kept of the pack's own nodes only.

python -m tests.workflows.node_info http://127.0.0.1:8188 [--write]   # the oldest supported host, without models
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SNAPSHOT = Path(__file__).with_name("node_info.json")
PREFIX = "TalkFace"
CORE = (
    *(
        "AudioConcat",
        "AudioEncoderEncode",
        "AudioEncoderLoader",
        "AudioMerge",
        "CreateVideo",
        "GetVideoComponents",
        "ImageBlur",
        "ImageFromBatch",
        "ImageSharpen",
        "PreviewAny",
    ),
    *("PreviewImage", "RepeatImageBatch", "SaveVideo"),
)
"""The host's own nodes that the workflows use. Notes are the page's alone and in no /object_info."""

_KEPT = ("default", "min", "max")
_UPLOADS = {"audio_upload": "audio", "image_upload": "image", "video_upload": "video"}


def digest(object_info: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pack's nodes, and those of core in CORE, in the shape above."""
    ours = sorted(key for key in object_info if key.startswith(PREFIX))
    return {key: _node(key, object_info[key]) for key in (*ours, *CORE)}


def read_snapshot() -> dict[str, dict[str, Any]]:
    """The snapshot as it was last written."""
    return json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def _node(key: str, node: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {}
    for group in ("required", "optional"):
        for name, (kind, *more) in node["input"].get(group, {}).items():
            inputs[name] = _input(kind, more[0] if more else {}, group == "optional", key.startswith(PREFIX))
    return {
        "title": node["display_name"] or key,
        "inputs": inputs,
        "outputs": dict(zip(node["output_name"], node["output"], strict=True)),
    }


def _input(kind: str | list, about: Mapping[str, Any], optional: bool, own: bool) -> dict[str, Any]:
    digested: dict[str, Any] = {"type": kind if isinstance(kind, str) else "COMBO"}
    if optional:
        digested["optional"] = True
    upload = next((word for mark, word in _UPLOADS.items() if about.get(mark)), None)
    if own and "options" in about:
        digested["options"] = [o for o in about["options"] if upload is None or o.endswith(" [sample]")]
    digested |= {word: about[word] for word in _KEPT if about.get(word) is not None}
    if about.get("control_after_generate"):
        digested["seed"] = True
    if upload:
        digested["upload"] = upload
    return digested


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="address of a running host with the pack")
    parser.add_argument("--write", action="store_true", help="write the snapshot; otherwise only compare with it")
    args = parser.parse_args()
    with urllib.request.urlopen(f"{args.server.rstrip('/')}/object_info") as answer:
        current = digest(json.load(answer))
    if args.write:
        # A line for each node: what changed is seen, and the file stays small.
        nodes = (f"{json.dumps(key)}:{json.dumps(node, separators=(',', ':'))}" for key, node in current.items())
        SNAPSHOT.write_text("{\n" + ",\n".join(nodes) + "\n}\n", encoding="utf-8")
    elif (kept := read_snapshot()) != current:
        differ = [key for key in kept.keys() | current.keys() if kept.get(key) != current.get(key)]
        raise SystemExit(f"the snapshot is out of date: {', '.join(sorted(differ))}; write it anew with --write")


if __name__ == "__main__":
    main()
