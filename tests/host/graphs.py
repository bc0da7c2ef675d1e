"""Prompts for the host: the shipped workflows in API format, and changes to them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch

from talkface_core.device import pick_dtype

from .client import Prompt
from .server import ROOT

API = ROOT / "workflows" / "api"
WORKFLOWS = sorted(API.glob("*.json"))
DTYPE = str(pick_dtype(torch.device("cpu"))).removeprefix("torch.")
"""What this CPU draws quickest in."""

AUDIO, LOADER, SPEECH, DECODE, STREAM = (
    f"TalkFace{name}" for name in ("LoadAudio", "LoadDAETalker", "Speech2Latent", "DAEDecode", "TalkingVideo")
)

LADTALK, FOOTAGE, DETECT, LIPS, ENHANCE, DUB = (
    f"TalkFace{name}" for name in ("LoadLaDTalk", "LoadVideo", "DetectFaces", "Wav2Lip", "SOVQAEEnhance", "DubVideo")
)

LANDMARKS, COMPLETE, ADJUST, PAINT = (
    f"TalkFace{name}" for name in ("LoadLandmarkDiffusion", "LandmarkComplete", "AdjustMouth", "TalkFormerSampler")
)
DUB_LANDMARKS, DUB_ANYBODY = "TalkFaceDubVideoLandmarks", "TalkFaceDubVideoDAE"

SPEAKER, IMAGINE, MOVE, RENDER, FROM_VOICE, ANIMATE = (
    f"TalkFace{name}"
    for name in (
        *("LoadSeeTheSpeaker", "SpeechToPortrait", "SpeechToMotion", "RenderMotion"),
        *("TalkingVideoFromVoice", "AnimatePortrait"),
    )
)
PICTURE = "TalkFaceLoadImage"
TRAIN = "TalkFaceTrainPerson"
"""The node that trains, and what it needs in the host's Python."""


def workflow(path: Path) -> Prompt:
    """A workflow in API format."""
    return json.loads(path.read_text(encoding="utf-8"))


def without_previews(prompt: Prompt) -> Prompt:
    """A prompt without its previews, which run by themselves where another output is refused, and whose pictures the
    host keeps."""
    return {key: node for key, node in prompt.items() if node["class_type"] != "PreviewImage"}


def nodes_of(prompt: Prompt, kind: str) -> list[str]:
    """Ids of the nodes of one class."""
    return [key for key, node in prompt.items() if node["class_type"] == kind]


def changed(prompt: Prompt, **inputs: dict[str, object]) -> Prompt:
    """A copy of `prompt` in which nodes have other inputs: changed(prompt, TalkFaceLoadAudio={"audio": "a.wav"}).

    Only inputs that the node has are changed; KeyError for a class that is not in the prompt.
    """
    graph = copy.deepcopy(prompt)
    for kind, values in inputs.items():
        keys = nodes_of(graph, kind)
        if not keys:
            raise KeyError(f"no {kind} among {[node['class_type'] for node in graph.values()]}")
        for key in keys:
            graph[key]["inputs"].update(values)
    return graph


def plain(**inputs: dict[str, object]) -> Prompt:
    """The basic workflow, as quick as it can be, with changes as in `changed`."""
    quick = changed(workflow(API / "dae_talker.json"), **{LOADER: {"dtype": DTYPE}, DECODE: {"steps": 1}})
    return changed(quick, **inputs)


def streaming(**inputs: dict[str, object]) -> Prompt:
    """The workflow of the streaming node, as quick as it can be, with changes as in `changed`."""
    quick = changed(workflow(API / "dae_talker_long.json"), **{LOADER: {"dtype": DTYPE}, STREAM: {"steps": 1}})
    return changed(quick, **inputs)


def dubbing(**inputs: dict[str, object]) -> Prompt:
    """The workflow that dubs step by step, as quick as it can be, with changes as in `changed`."""
    quick = {LADTALK: {"dtype": DTYPE}, AUDIO: {"duration": 0.0}, ENHANCE: {"look_at": 0}}
    return changed(changed(workflow(API / "ladtalk_dub.json"), **quick), **inputs)


def dub_streaming(**inputs: dict[str, object]) -> Prompt:
    """The workflow that dubs in one node, as quick as it can be, with changes as in `changed`."""
    return changed(changed(workflow(API / "ladtalk_dub_long.json"), **{LADTALK: {"dtype": DTYPE}}), **inputs)


def landmark_dubbing(**inputs: dict[str, object]) -> Prompt:
    """The workflow that dubs by landmarks step by step, as quick as it can be, with changes as in `changed`."""
    quick = {LANDMARKS: {"dtype": DTYPE}, AUDIO: {"duration": 0.0}, PAINT: {"steps": 1}}
    return changed(changed(workflow(API / "landmark_dub.json"), **quick), **inputs)


def landmark_streaming(**inputs: dict[str, object]) -> Prompt:
    """The workflow that dubs by landmarks in one node, as quick as it can be, with changes as in `changed`."""
    quick = {LANDMARKS: {"dtype": DTYPE}, DUB_LANDMARKS: {"steps": 1}}
    return changed(changed(workflow(API / "landmark_dub_long.json"), **quick), **inputs)


def voice_stepwise(**inputs: dict[str, object]) -> Prompt:
    """The workflow that makes a talking person of a voice step by step, as quick as it can be, with changes as in
    `changed`."""
    quick = {SPEAKER: {"dtype": DTYPE}, AUDIO: {"duration": 0.0}, IMAGINE: {"steps": 2}, MOVE: {"steps": 2}}
    return changed(changed(workflow(API / "voice_step_by_step.json"), **quick), **inputs)


def voice_streaming(**inputs: dict[str, object]) -> Prompt:
    """The workflow that does so in one node, as quick as it can be, with changes as in `changed`."""
    quick = {SPEAKER: {"dtype": DTYPE}, FROM_VOICE: {"portrait_steps": 2, "motion_steps": 2}}
    return changed(changed(workflow(API / "voice_to_talking_video.json"), **quick), **inputs)


def animating(**inputs: dict[str, object]) -> Prompt:
    """The workflow that animates a picture, as quick as it can be, with changes as in `changed`."""
    quick = {SPEAKER: {"dtype": DTYPE}, ANIMATE: {"steps": 2}}
    return changed(changed(workflow(API / "animate_any_portrait.json"), **quick), **inputs)
