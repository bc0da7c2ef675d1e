"""The pack's main jobs as one node each, to be put into any graph: blueprints of subgraphs, in the node library of
hosts that have them (ComfyUI 0.3.67 and later look into <pack>/subgraphs; the name of a file is the node's).

A blueprint is a workflow of a single node, whose type is the id of a subgraph that is defined beside it. In there,
links begin at node -10 and end at node -20 where they come from outside and lead there.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .graph import Graph, Info, Node, Out, as_text

FOLDER = Path(__file__).parents[1] / "subgraphs"
INLET, OUTLET = -10, -20


@dataclass(frozen=True)
class Blueprint:
    """What is within `graph`; what `inlet` brings to it; its outputs; and the widgets that the one node shows."""

    graph: Graph
    description: str
    inlet: Node
    outputs: Mapping[str, Out]
    shown: tuple[tuple[Node, str], ...]

    def files(self) -> dict[Path, str]:
        """What is written, and where."""
        return {FOLDER / f"{self.graph.title}.json": as_text(self.page())}

    def page(self) -> dict[str, Any]:
        """The blueprint as the page saves it."""
        title, number = self.graph.title, len(self.graph.nodes) + 1
        within = self._within()
        slots = {
            kind: [{"name": slot["name"], "type": slot["type"], end: none} for slot in within[kind]]
            for kind, end, none in (("inputs", "link", None), ("outputs", "links", []))
        }
        node = {"id": number, "type": within["id"], "pos": [0, 0], "size": [300, 100 + 24 * len(self.shown)]}
        node |= {"flags": {}, "order": 0, "mode": 0, **slots, "title": title, "widgets_values": []}
        node |= {"properties": {"proxyWidgets": [[str(inner.id), widget] for inner, widget in self.shown]}}
        whole = {"revision": 0, "last_node_id": number, "last_link_id": 0, "nodes": [node], "links": [], "version": 0.4}
        return {"id": self._id("file"), **whole, "definitions": {"subgraphs": [within]}, "extra": {}}

    def _within(self) -> dict[str, Any]:
        graph = self.graph
        links = graph.links()
        for slot, out in enumerate(self.outputs.values()):
            kind = list(out.node.about["outputs"].values())[out.slot]
            links.append([len(links) + 1, out.node.id, out.slot, OUTLET, slot, kind])
        inputs = [
            self._end(name, kind, [n for n, source, out, *_ in links if (source, out) == (INLET, slot)], 0, slot)
            for slot, (name, kind) in enumerate(self.inlet.about["outputs"].items())
        ]
        outputs = [
            self._end(name, kind, [number], 1000, slot)
            for name, (number, _, _, _, slot, kind) in zip(self.outputs, links[-len(self.outputs) :], strict=True)
        ]
        words = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        state = {"lastGroupId": 0, "lastNodeId": len(graph.nodes), "lastLinkId": len(links), "lastRerouteId": 0}
        about = {"id": self._id("subgraph"), "version": 1, "state": state, "revision": 0, "config": {}}
        about |= {"name": graph.title, "description": self.description, "category": "TalkFace"}
        about |= {"inputNode": {"id": INLET, "bounding": [-100, 0, 120, 40 + 20 * len(inputs)]}}
        about |= {"outputNode": {"id": OUTLET, "bounding": [980, 0, 120, 40 + 20 * len(outputs)]}}
        nodes = [graph.entry(order, node, links) for order, node in enumerate(graph.nodes)]
        about |= {"inputs": inputs, "outputs": outputs, "widgets": [], "nodes": nodes, "groups": []}
        return {**about, "links": [dict(zip(words, link, strict=True)) for link in links], "extra": {}}

    def _end(self, name: str, kind: str, links: list[int], left: int, slot: int) -> dict[str, Any]:
        place = {"pos": [left, 20 + 20 * slot]}
        return {"id": self._id(f"{left}/{name}"), "name": name, "type": kind, "linkIds": links, **place}

    def _id(self, part: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"talkface/subgraphs/{self.graph.name}/{part}"))


def speak(info: Info) -> Blueprint:
    """Speech to a talking face, streamed to disk."""
    graph = Graph("speak", "Speech to Talking Face (DAE-Talker)", info)
    inlet = _inlet(audio="AUDIO")
    model = graph.add("TalkFaceLoadDAETalker", (120, 0), (320, 102))
    given = {"speech2latent": model["speech2latent"], "dae": model["dae"], "audio": inlet["audio"]}
    video = graph.add("TalkFaceTalkingVideo", (520, 0), (380, 480), **given)
    shown = ((video, "expression"), (video, "head_motion"), (video, "steps"), (video, "seed"), (model, "checkpoint"))
    about = "Speech of any length to a video of a talking face, written to disk as it is drawn."
    return Blueprint(graph, about, inlet, {"video": video["video"]}, shown)


def dub(info: Info) -> Blueprint:
    """New speech for a film, streamed to disk."""
    graph = Graph("dub", "New Speech for a Video (LaDTalk)", info)
    inlet = _inlet(video="VIDEO", audio="AUDIO")
    model = graph.add("TalkFaceLoadLaDTalk", (120, 0), (320, 102))
    given = {"wav2lip": model["wav2lip"], "sovqae": model["sovqae"], "video": inlet["video"], "audio": inlet["audio"]}
    dubbed = graph.add("TalkFaceDubVideo", (520, 0), (380, 560), **given)
    shown = ((dubbed, "face"), (dubbed, "index"), (dubbed, "length"), (dubbed, "match_texture"), (model, "checkpoint"))
    about = "A video of any length in which a face says other words, written to disk as it is made."
    return Blueprint(graph, about, inlet, {"video": dubbed["video"]}, shown)


def dub_landmarks(info: Info) -> Blueprint:
    """New speech for a film by landmarks, streamed to disk."""
    graph = Graph("dub_landmarks", "New Speech (Landmark Diffusion)", info)
    inlet = _inlet(video="VIDEO", audio="AUDIO")
    model = graph.add("TalkFaceLoadLandmarkDiffusion", (120, 0), (320, 102))
    given = {"completion": model["completion"], "talkformer": model["talkformer"]}
    given |= {"video": inlet["video"], "audio": inlet["audio"]}
    dubbed = graph.add("TalkFaceDubVideoLandmarks", (520, 0), (380, 620), **given)
    shown = ((dubbed, "face"), (dubbed, "index"), (dubbed, "length"), (dubbed, "strength"), (dubbed, "steps"))
    about = "A video of any length in which a face says other words, by landmarks and diffusion, written to disk."
    return Blueprint(graph, about, inlet, {"video": dubbed["video"]}, (*shown, (dubbed, "seed"), (model, "checkpoint")))


def imagine(info: Info) -> Blueprint:
    """A voice alone to a talking person, streamed to disk."""
    graph = Graph("imagine", "Voice to Talking Person", info)
    inlet = _inlet(audio="AUDIO")
    model = graph.add("TalkFaceLoadSeeTheSpeaker", (120, 0), (320, 122))
    given = {name: model[name] for name in ("portrait_model", "motion_model", "hrtf")} | {"audio": inlet["audio"]}
    made = graph.add("TalkFaceTalkingVideoFromVoice", (520, 0), (380, 640), **given)
    shown = ((made, "seed"), (made, "prior"), (made, "portrait_guidance"), (made, "head_motion"))
    about = "A voice alone to a video of a made-up person who says it, a guess at sex and age group, written to disk."
    outputs = {"video": made["video"], "image": made["image"]}
    return Blueprint(graph, about, inlet, outputs, (*shown, (made, "expression"), (model, "checkpoint")))


def animate(info: Info) -> Blueprint:
    """A picture that says a sound, streamed to disk."""
    graph = Graph("animate", "Animate Portrait (See the Speaker)", info)
    inlet = _inlet(image="IMAGE", audio="AUDIO")
    model = graph.add("TalkFaceLoadSeeTheSpeaker", (120, 0), (320, 122))
    given = {"motion_model": model["motion_model"], "hrtf": model["hrtf"]}
    given |= {"image": inlet["image"], "audio": inlet["audio"]}
    made = graph.add("TalkFaceAnimatePortrait", (520, 0), (380, 660), **given)
    shown = ((made, "face"), (made, "head_motion"), (made, "expression"), (made, "region"), (made, "seed"))
    about = "A picture with a face that says a sound, head and eyes moving, written to disk as it is drawn."
    return Blueprint(graph, about, inlet, {"video": made["video"]}, (*shown, (model, "checkpoint")))


def _inlet(**outputs: str) -> Node:
    """What stands for the inputs of the one node: name -> type."""
    return Node(INLET, "", {"inputs": {}, "outputs": outputs}, (0, 0), (0, 0), {})


BLUEPRINTS = (speak, dub, dub_landmarks, imagine, animate)
