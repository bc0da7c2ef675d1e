"""A workflow as Python: nodes, links, groups and notes, written as the page saves them and as programs queue them.

The page's format is ComfyUI's workflow JSON, version 0.4. Its widget values are positional: the order of the node's
inputs, with one value more after a seed (control_after_generate) and after a file that can be uploaded (the button).
Sockets come before widgets, as the page has them. Nodes say which pack they come from (cnr_id, its name in the
registry) and its version, so that a page without the pack can name what is missing.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .notes import NOTES
from .wires import TITLE, Box, Curve, Point, curve, route

Info = Mapping[str, Mapping[str, Any]]
"""Node id -> title, inputs, outputs, as tests/workflows/node_info.py describes them."""

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
NOTE = "MarkdownNote"
GREEN, BLUE, GREY = ("#232", "#353"), ("#223", "#335"), ("#222", "#000")
"""(title, body) in the page's own colours."""

PACK = "TalkFace"
"""How ids of the pack's nodes begin."""

_PROJECT = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
_PLAYER = "AUDIO_UI"
_BUTTON = {"audio": "", "image": "image", "video": "image"}
# SaveVideo has other inputs in newer hosts. Each host ignores what it does not know, so both kinds are given.
_BOTH_KINDS = {"SaveVideo": {"format.codec": "auto"}}


def origin(kind: str) -> dict[str, str]:
    """The pack that a node comes from and its version: this one, or core in the oldest version that will do."""

    def said(word: str) -> str:
        found = re.search(rf'^{word} = "(?:>=)?(.+)"$', _PROJECT, re.MULTILINE)
        assert found, f"pyproject.toml names no {word}"
        return found[1]

    if kind.startswith(PACK):
        return {"cnr_id": said("name"), "ver": said("version")}
    return {"cnr_id": "comfy-core", "ver": said("requires-comfyui")}


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

    @property
    def box(self) -> Box:
        """What the node covers, with its title."""
        (left, top), (width, height) = self.at, self.size
        return left, top - TITLE, left + width, top + height

    def output_at(self, slot: int) -> Point:
        """Where wires leave an output."""
        return self.at[0] + self.size[0] - 9, self.at[1] + 14 + 20 * slot

    def input_at(self, name: str) -> Point:
        """Where a wire enters an input: at its socket, or at its widget below all sockets."""
        slots, about = self.slots(), self.about["inputs"]
        sockets = [slot for slot in slots if about[slot]["type"] not in WIDGETS]
        if name in sockets:
            return self.at[0] + 10, self.at[1] + 14 + 20 * sockets.index(name)
        above = [slot for slot in slots[len(sockets) :] if slots.index(slot) < slots.index(name)]
        rows = len(above) + sum(bool(about[slot].get("seed")) for slot in above)
        return self.at[0] + 10, self.at[1] + 16 + 20 * max(len(sockets), len(self.about["outputs"])) + 24 * rows


def as_text(page: Mapping[str, Any]) -> str:
    """A workflow as JSON, a node, a link or a group on a line: small, and a change is seen by lines."""

    def short(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def lines(value: Any) -> str:
        return "[\n" + ",\n".join(map(short, value)) + "\n]" if isinstance(value, list) else short(value)

    entries = [f"{short(key)}:{lines(value)}" for key, value in page.items()]
    return "{\n" + ",\n".join(entries) + "\n}\n"


@dataclass
class Graph:
    """A workflow that is being described. `name` is the program's word for it, `title` the page's, on the card of the
    template browser: the host takes it from the file's name."""

    name: str
    title: str
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

    def notes(self, at: tuple[int, int], size: tuple[int, int], below: bool = False) -> None:
        """The graph's notes in Markdown, which only the page knows: English, and Chinese to its right or below it."""
        step = (0, size[1] + TITLE + 20) if below else (size[0] + 20, 0)
        for turn, note in enumerate(NOTES[self.name]):
            about = {"title": note.title, "inputs": {"text": {"type": "STRING"}}, "outputs": {}}
            place, given = (at[0] + turn * step[0], at[1] + turn * step[1]), {"text": note.text}
            self.nodes.append(Node(len(self.nodes) + 1, NOTE, about, place, size, given, note.title, GREY))

    def group(self, title: str, at: tuple[int, int], size: tuple[int, int], colour: str = "#3f789e") -> None:
        """A frame with a title around nodes. Titles are in both languages, "English · Chinese"."""
        about = {"id": len(self.groups) + 1, "title": title, "bounding": [*at, *size], "color": colour}
        self.groups.append({**about, "font_size": 24, "flags": {}})

    def page(self) -> dict[str, Any]:
        """The workflow as the page saves it."""
        links, dots = self.links(), self._dots()
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"talkface/{self.name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(links),
            "nodes": [self.entry(order, node, links) for order, node in enumerate(self.nodes)],
            "links": links,
            "groups": self.groups,
            "config": {},
            "extra": {"reroutes": dots, "linkExtensions": self._last(dots)} if dots else {},
            "version": 0.4,
        }

    def links(self) -> list[list[Any]]:
        """Number, source, its slot, target, its slot and type of each link."""
        return [
            [number, out.node.id, out.slot, node.id, node.slots().index(name), self._type(out)]
            for number, (out, node, name) in enumerate(self._links(), 1)
        ]

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

    def files(self, folder: Path) -> dict[Path, str]:
        """What is written: <folder>/<title>.json for the page and <folder>/api/<name>.json for programs."""
        prompt = json.dumps(self.prompt(), indent=1, ensure_ascii=False) + "\n"
        return {folder / f"{self.title}.json": as_text(self.page()), folder / "api" / f"{self.name}.json": prompt}

    def _links(self) -> list[tuple[Out, Node, str]]:
        return [(v, node, name) for node in self.nodes for name, v in node.given.items() if isinstance(v, Out)]

    def _dots(self) -> list[dict[str, Any]]:
        """Reroutes for wires that a node would hide, each with the one before it on its wire as `parentId`."""
        boxes = [node.box for node in self.nodes]
        dots: list[dict[str, Any]] = []
        taken: list[Curve] = []
        # Short wires come first: they have the least choice.
        ends = [(out.node.output_at(out.slot), node.input_at(name)) for out, node, name in self._links()]
        for number in sorted(range(len(ends)), key=lambda n: abs(ends[n][1][0] - ends[n][0][0])):
            out, node, _ = self._links()[number]
            start, end = ends[number]
            way = route(start, end, boxes, (out.node.id - 1, node.id - 1), taken)
            taken.append(curve([start, *way, end]))
            for place, dot in enumerate(way):
                entry = {"id": len(dots) + 1} | ({"parentId": len(dots)} if place else {})
                dots.append(entry | {"pos": list(dot), "linkIds": [number + 1]})
        return dots

    @staticmethod
    def _last(dots: list[dict[str, Any]]) -> list[dict[str, int]]:
        """The last dot of each wire that has any."""
        return [{"id": link, "parentId": dot} for link, dot in {d["linkIds"][0]: d["id"] for d in dots}.items()]

    @staticmethod
    def _type(out: Out) -> str:
        return list(out.node.about["outputs"].values())[out.slot]

    @staticmethod
    def entry(order: int, node: Node, links: list[list[Any]]) -> dict[str, Any]:
        """A node as the page saves it, with the ends of `links` at it."""
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
        entry |= {"properties": {} if node.kind == NOTE else {**origin(node.kind), "Node name for S&R": node.kind}}
        entry |= {"widgets_values": node.widgets()}
        entry |= {"color": node.colour[0], "bgcolor": node.colour[1]} if node.colour else {}
        return entry
