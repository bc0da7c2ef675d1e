"""The workflow of a person of one's own: footage to a checkpoint, and that person speaks."""

from __future__ import annotations

from .graph import Graph, Info
from .parts import components, footage, speech, stored

BUDGET = 0.5
"""Minutes: enough to see that it runs, as the sample is of the person that the bundled weights know already."""


def train_person(info: Info) -> Graph:
    """Train on a film, then speak with what came of it. The sample is too short and is shown four times."""
    graph = Graph("train_person", "20 Train your own person", info)
    graph.group("1. Footage · 素材", (0, 0), (300, 480))
    film = footage(graph, 80)
    graph.group("The sample, four times · 示例重复四次", (340, 0), (760, 300))
    parts = components(graph, (360, 80), film)
    frames = graph.add("RepeatImageBatch", (600, 190), (220, 60), image=parts["images"], amount=4)
    twice = graph.add("AudioConcat", (600, 80), (220, 80), audio1=parts["audio"], audio2=parts["audio"])
    whole = graph.add("AudioConcat", (860, 80), (220, 80), audio1=twice["AUDIO"], audio2=twice["AUDIO"])
    made = {"images": frames["IMAGE"], "fps": parts["fps"], "audio": whole["AUDIO"]}
    video = graph.add("CreateVideo", (1160, 190), (230, 102), **made)
    graph.group("2. Train · 训练", (1140, 0), (720, 850))
    train = graph.add(
        "TalkFaceTrainPerson", (1440, 80), (400, 300), video=video["VIDEO"], name="my_person", budget_minutes=BUDGET
    )
    graph.add("PreviewAny", (1160, 560), (320, 260), source=train["report"])
    graph.add("PreviewImage", (1520, 560), (320, 260), images=train["sheet"])
    graph.group("3. Speech · 语音", (1900, 0), (300, 340))
    sound = speech(graph, (1920, 80), duration=2.0)
    graph.group("4. Speak · 说话", (2240, 0), (460, 700))
    spoken = graph.add(
        "TalkFaceTalkingVideo",
        (2260, 80),
        (420, 600),
        speech2latent=train["speech2latent"],
        dae=train["dae"],
        audio=sound["audio"],
    )
    graph.group("5. Save · 保存", (2740, 0), (290, 430))
    stored(graph, (2760, 80), spoken)
    graph.notes((0, 920), (700, 260))
    return graph
