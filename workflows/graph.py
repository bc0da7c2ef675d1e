"""A workflow as Python: nodes, links, groups and notes, written as the page saves them and as programs queue them.

The page's format is ComfyUI's workflow JSON, version 0.4. Its widget values are positional: the order of the node's
inputs, with one value more after a seed (control_after_generate) and after a file that can be uploaded (the button).
Sockets come before widgets, as the page has them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Info = Mapping[str, Mapping[str, Any]]
"""Node id -> title, inputs, outputs, as tests/workflows/node_info.py describes them."""

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
NOTE = "MarkdownNote"
GREEN, BLUE, GREY = ("#232", "#353"), ("#223", "#335"), ("#222", "#000")
"""(title, body) in the page's own colours."""

_PLAYER = "AUDIO_UI"
_BUTTON = {"audio": "", "image": "image", "video": "image"}
# SaveVideo has other inputs in newer hosts. Each host ignores what it does not know, so both kinds are given.
_BOTH_KINDS = {"SaveVideo": {"format.codec": "auto"}}


@dataclass(frozen=True)
class Out:
    """An output of a node of the graph, to be given as another node's input."""

    node: Node
    slot: int


@dataclass
class Node:
    """A node with its place in the graph. `node["name"]` is one of its outputs."""

    id: int
    kind: str
    about: Mapping[str, Any]
    at: tuple[int, int]
    size: tuple[int, int]
    given: dict[str, Any]
    title: str | None = None
    colour: tuple[str, str] | None = None

    def __getitem__(self, output: str) -> Out:
        return Out(self, list(self.about["outputs"]).index(output))

    def value(self, name: str) -> Any:
        """The widget's value: the given one, else the default, else the first option."""
        about = self.about["inputs"][name]
        value = self.given.get(name, about.get("default"))
        if value is None or isinstance(value, Out):
            value = about.get("default", next(iter(about.get("options", [""]))))
        return value

    def widgets(self) -> list[Any]:
        """All widget values by position."""
        values: list[Any] = []
        buttons = []
        for name, about in self.about["inputs"].items():
            if about["type"] == _PLAYER:
                values.append(None)
            elif about["type"] in WIDGETS:
                values.append(self.value(name))
                if about.get("seed"):
                    values.append("fixed")
                if "upload" in about:
                    buttons.append(_BUTTON[about["upload"]])
        return values + buttons

    def slots(self) -> list[str]:
        """Names of the inputs that a link can end in, by slot."""
        inputs = self.about["inputs"]
        widgets = [name for name, about in inputs.items() if about["type"] in WIDGETS]
        return [name for name in inputs if name not in widgets and inputs[name]["type"] != _PLAYER] + widgets


@dataclass
class Graph:
    """A workflow that is being described."""

    name: str
    info: Info
    nodes: list[Node] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        kind: str,
        at: tuple[int, int],
        size: tuple[int, int],
        colour: tuple[str, str] | None = None,
        **inputs: Any,
    ) -> Node:
        """A node at `at` (left, top of its body; the title is 30 above). `inputs` are widget values and other nodes'
        outputs. Raises KeyError for an input that the node does not have."""
        about = self.info[kind]
        for name in inputs:
            about["inputs"][name]
        node = Node(len(self.nodes) + 1, kind, about, at, size, inputs, colour=colour)
        self.nodes.append(node)
        return node

    def note(self, at: tuple[int, int], size: tuple[int, int], title: str, text: str) -> None:
        """A note in Markdown, which only the page knows."""
        about = {"title": title, "inputs": {"text": {"type": "STRING"}}, "outputs": {}}
        self.nodes.append(Node(len(self.nodes) + 1, NOTE, about, at, size, {"text": text}, title, GREY))

    def group(self, title: str, at: tuple[int, int], size: tuple[int, int], colour: str = "#3f789e") -> None:
        """A frame with a title around nodes."""
        about = {"id": len(self.groups) + 1, "title": title, "bounding": [*at, *size], "color": colour}
        self.groups.append({**about, "font_size": 24, "flags": {}})

    def page(self) -> dict[str, Any]:
        """The workflow as the page saves it."""
        links = [
            [number, out.node.id, out.slot, node.id, node.slots().index(name), self._type(out)]
            for number, (out, node, name) in enumerate(self._links(), 1)
        ]
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"talkface/{self.name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(links),
            "nodes": [self._node(order, node, links) for order, node in enumerate(self.nodes)],
            "links": links,
            "groups": self.groups,
            "config": {},
            "extra": {},
            "version": 0.4,
        }

    def prompt(self) -> dict[str, Any]:
        """The same as a program queues it: POST {"prompt": this} to /prompt."""
        nodes = {}
        for node in self.nodes:
            if node.kind == NOTE:
                continue
            inputs = {
                name: node.value(name)
                for name, about in node.about["inputs"].items()
                if about["type"] in WIDGETS and not isinstance(node.given.get(name), Out)
            }
            inputs |= {n: [str(v.node.id), v.slot] for n, v in node.given.items() if isinstance(v, Out)}
            inputs |= _BOTH_KINDS.get(node.kind, {})
            title = node.title or node.about["title"]
            nodes[str(node.id)] = {"class_type": node.kind, "inputs": inputs, "_meta": {"title": title}}
        return nodes

    def write(self, folder: Path) -> None:
        """<folder>/<name>.json for the page and <folder>/api/<name>.json for programs."""
        for path, data in self.files(folder).items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(data, encoding="utf-8", newline="\n")

    def files(self, folder: Path) -> dict[Path, str]:
        """What `write` writes."""
        contents = {folder / f"{self.name}.json": self.page(), folder / "api" / f"{self.name}.json": self.prompt()}
        return {path: json.dumps(data, indent=1, ensure_ascii=False) + "\n" for path, data in contents.items()}

    def _links(self) -> list[tuple[Out, Node, str]]:
        return [(v, node, name) for node in self.nodes for name, v in node.given.items() if isinstance(v, Out)]

    @staticmethod
    def _type(out: Out) -> str:
        return list(out.node.about["outputs"].values())[out.slot]

    @staticmethod
    def _node(order: int, node: Node, links: list[list[Any]]) -> dict[str, Any]:
        about = node.about["inputs"]
        into = {slot: number for number, _, _, target, slot, _ in links if target == node.id}
        inputs = []
        for slot, name in enumerate(node.slots()) if node.kind != NOTE else ():
            entry = {"name": name, "type": about[name]["type"], "link": into.get(slot)}
            entry |= {"shape": 7} if about[name].get("optional") else {}
            entry |= {"widget": {"name": name}} if about[name]["type"] in WIDGETS else {}
            inputs.append(entry)
        outputs = [
            {"name": name, "type": kind, "links": [n for n, s, o, *_ in links if (s, o) == (node.id, slot)] or None}
            for slot, (name, kind) in enumerate(node.about["outputs"].items())
        ]
        entry = {"id": node.id, "type": node.kind, "pos": list(node.at), "size": list(node.size), "flags": {}}
        entry |= {"order": order, "mode": 0, "inputs": inputs, "outputs": outputs}
        entry |= {"title": node.title} if node.title else {}
        entry |= {"properties": {} if node.kind == NOTE else {"Node name for S&R": node.kind}}
        entry |= {"widgets_values": node.widgets()}
        entry |= {"color": node.colour[0], "bgcolor": node.colour[1]} if node.colour else {}
        return entry
