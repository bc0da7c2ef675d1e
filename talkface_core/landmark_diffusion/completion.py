"""LandmarkComplete: speech, pose landmarks and references in, the landmarks of jaw and lips out.

Source: landmark diffusion (Zhong et al., arXiv 2408.05416), section on landmark completion, after IP_LAP (Zhong et al.
2023): a Transformer encoder over tokens of the references, of the sound and of the pose. `base` is IP_LAP's generator
(published.py). `tiny` is ours: it hears features of the acoustic model, which knows what speech makes a mouth do; sound
and pose of a frame are one token; it sees one second at a time, at any length; and it predicts how far jaw and lips are
from the references' mouth at rest, moved to the frame's pose (reposing.py), so that it need not learn faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..speech.frame_front import FrameFront, FrontEndConfig
from .closing import ClosingConfig, close_lips
from .landmarks import IBUG_68, MESH_131, landmark_set, pick
from .local_attention import LocalBlock
from .mesh_adapter import motion_from_mesh, to_mesh
from .published import PublishedGenerator
from .reposing import rest_mouths

COMPONENT = "completion"

MOTION = 0.02
"""Shares of the crop that an output of 1 moves a point by."""

CLOSE_UP = 10.0
"""What small differences of landmarks are multiplied by before they are shown to the network."""


@dataclass(frozen=True)
class CompletionConfig(Config):
    """Sizes of a `LandmarkCompletion`; `preset` gives `tiny` and `base`.

    landmarks: the set's name (landmarks.py). published: IP_LAP's layout, which hears windows of the log-mel `frames` at
    a time. audio: values of a frame's sound, for the other layout. context: frames to either side that each block sees.
    references: as many as it is shown at best. front: a speech encoder's features that `hear` takes in place of those
    of the acoustic model. boxed, mel_shift: whether the published layout takes coordinates within the box of a face's
    landmarks, and by how many seconds its windows are late; for weights that were trained so. closing: how lips shut
    at p, b and m (closing.py) where the acoustic model is asked; None: as the network has them. track: the set that
    callers give and take where it is not the network's own, which then is the mesh's (mesh_adapter.py).
    """

    landmarks: str = IBUG_68.name
    published: bool = False
    fps: int = 25
    audio: int = 160
    width: int = 176
    heads: int = 4
    blocks: int = 4
    ff: int = 384
    context: int = 6
    frames: int = 50
    references: int = 15
    dropout: float = 0.1
    front: FrontEndConfig | None = None
    boxed: bool = False
    mel_shift: float = 0.0
    closing: ClosingConfig | None = None
    track: str = ""

    def __post_init__(self) -> None:
        landmark_set(self.landmarks)
        if self.track and (self.track, self.landmarks, self.published) != (IBUG_68.name, MESH_131.name, True):
            raise InputError(f"no way from {self.track} to {self.landmarks}; only from {IBUG_68.name} to the mesh")
        self.check_range(1, LARGEST, "width", "ff", "audio")
        self.check_range(1, 1000, "heads", "blocks", "frames", "references")
        self.check_range(1, 200, "context")
        self.check_range(1, 240, "fps")
        self.check_range(0, 1, "dropout")
        self.check_range(-1, 1, "mel_shift")
        if self.width % self.heads:
            raise InputError(f"a width of {self.width} is no multiple of the {self.heads} heads")
        if self.published and self.front is not None:
            raise InputError("the published layout hears the log-mel; leave the front end out")
        if self.boxed and not self.published:
            raise InputError("only the published layout takes landmarks within their box")
        if self.closing is not None and (self.published or self.front is not None):
            raise InputError("lips close by what an acoustic model tells, which this layout does not hear")

    @classmethod
    def presets(cls) -> dict[str, CompletionConfig]:
        """ "tiny" (bundled) and "base", the published size."""
        base = cls(landmarks=MESH_131.name, published=True, width=512, ff=1024, frames=5)
        return {"tiny": cls(), "base": base}

    @property
    def reach(self) -> int:
        """Frames to either side that a frame's mouth depends on."""
        return self.frames - 1 if self.published else self.blocks * self.context


class LandmarkCompletion(nn.Module):
    """Landmarks whose jaw and lips say the sound; an untrained `tiny` holds the references' mouth at rest."""

    def __init__(self, config: CompletionConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or CompletionConfig()
        known = landmark_set(config.landmarks)
        self.landmarks = landmark_set(config.track or config.landmarks)
        if config.published:
            self.net: nn.Module = PublishedGenerator(
                known, config.width, config.heads, config.blocks, config.ff, config.dropout, operations
            )
        else:
            self.net = LocalCompletion(config, operations)
        self.front: FrameFront | None = None
        if config.front is not None:
            self.front = FrameFront(config.front, config.fps, config.width, config.audio, operations=operations)

    def forward(self, audio: Tensor, landmarks: Tensor, references: Tensor) -> Tensor:
        """The given landmarks with jaw and lips replaced: [B,T,P,2] float32, shares of the aligned crop.

        audio [B,T,A] at `config.fps`, or windows of the log-mel [B,T,80,16] for the published layout; landmarks
        [B,T,P,2], of which nothing but the pose's points is read; references [B,N,P,2]. Raises InputError for other
        shapes.
        """
        motion, rest = self.motion(audio, landmarks, references)
        return self.place(landmarks, rest + motion)

    def motion(
        self, audio: Tensor, landmarks: Tensor, references: Tensor, pressed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """How far jaw and lips move from their rest, and the rest in each frame's pose: twice [B,T,C,2], float32.

        In the order of `LandmarkSet.content`; inputs as those of `forward`. pressed [B,T]: how likely a p, b or m is
        said, by which lips then close as the configuration has it; None: they do not.
        """
        known = self.landmarks
        known.check(landmarks, 4)
        known.check(references, 4, "references")
        rest = self.rest(landmarks, references)
        if isinstance(self.net, PublishedGenerator) and self.config.track:
            shown, seen = to_mesh(landmarks), to_mesh(references)
            still = rest_mouths(shown, seen, self.net.landmarks)
            said = motion_from_mesh(self._published(self.net, audio, shown, seen, still) - still)
        elif isinstance(self.net, PublishedGenerator):
            said = self._published(self.net, audio, landmarks, references, rest) - rest
        else:
            said = self.net(audio, landmarks, references, rest).float()
        return self.closed(said, rest, pressed), rest

    def closed(self, motion: Tensor, rest: Tensor, pressed: Tensor | None) -> Tensor:
        """The motion [B,T,C,2] with lips that close by how likely a p, b or m is said, [B,T], as the configuration has
        it; None: as it is."""
        if pressed is None or self.config.closing is None:
            return motion
        return close_lips(rest + motion, pressed, self.landmarks, self.config.closing) - rest

    def _published(
        self, net: PublishedGenerator, audio: Tensor, landmarks: Tensor, references: Tensor, rest: Tensor
    ) -> Tensor:
        """Jaw and lips [B,T,C,2] as the published layout tells them."""
        pose = pick(landmarks, net.landmarks.pose)
        if not self.config.boxed:
            return net(audio, pose, references).float()
        low, side = box(torch.cat([pose, rest], -2))
        there, extent = box(references)
        return low + side * net(audio, (pose - low) / side, (references - there) / extent).float()

    def rest(self, landmarks: Tensor, references: Tensor) -> Tensor:
        """The references' mouth at rest in the pose of landmarks: [B,T,C,2]."""
        return rest_mouths(landmarks, references, self.landmarks)

    def place(self, landmarks: Tensor, content: Tensor) -> Tensor:
        """Landmarks [..., P, 2] with jaw and lips [..., C, 2] in place of theirs."""
        known = self.landmarks
        mixed = torch.cat([pick(landmarks, known.pose).to(content), content], -2)
        return pick(mixed, [(known.pose + known.content).index(k) for k in range(known.count)])

    def hear(self, features: Tensor, frames: int, first_frame: int = 0, first_step: int = 0) -> Tensor:
        """A speech encoder's features [B,S,dim] from step `first_step` on -> `audio` [B,frames,A] of `forward`.

        Raises InputError for a network without a front end.
        """
        if self.front is None:
            raise InputError("this completion hears the acoustic model; it has no front end for a speech encoder.")
        return self.front(features, frames, first_frame, first_step)


class LocalCompletion(nn.Module):
    """The layout of `tiny`: how far jaw and lips are from rest [B,T,C,2]."""

    def __init__(self, config: CompletionConfig, operations: Operations = nn) -> None:
        super().__init__()
        self.landmarks = known = landmark_set(config.landmarks)
        width, points, content = config.width, known.count, len(known.content)
        self.audio_norm = operations.LayerNorm(config.audio)
        self.audio = operations.Linear(config.audio, width)
        self.pose = nn.Sequential(
            operations.Linear(2 * len(known.pose), width), nn.GELU(), operations.Linear(width, width)
        )
        self.reference = nn.Sequential(
            operations.Linear(2 * (points + content), width), nn.GELU(), operations.Linear(width, width)
        )
        self.blocks = nn.ModuleList(
            [
                LocalBlock(width, config.heads, config.ff, config.context, config.dropout, operations)
                for _ in range(config.blocks)
            ]
        )
        self.norm = operations.LayerNorm(width)
        self.head = operations.Linear(width, 2 * content)
        if self.head.weight is not None:  # a host's layers may come without weights
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, audio: Tensor, landmarks: Tensor, references: Tensor, rest: Tensor) -> Tensor:
        known = self.landmarks
        kind = audio.dtype
        usual = pick(references, known.pose).mean(1, keepdim=True)
        turned = (CLOSE_UP * (pick(landmarks, known.pose) - usual)).flatten(2).to(kind)
        # Each reference by its place in the crop and by what its mouth does, beside the mean of the re-posed rest.
        own = pick(references, known.content) - rest_mouths(references, references, known)
        shown = torch.cat([4 * (references - 0.5), CLOSE_UP * own], -2).flatten(2).to(kind)
        frames = self.audio(self.audio_norm(audio)) + self.pose(turned)
        x = torch.cat([self.reference(shown), frames.to(kind)], 1)
        count = references.shape[1]
        for block in self.blocks:
            x = block(x, count)
        moved = self.head(self.norm(x[:, count:]))
        return MOTION * moved.unflatten(-1, (len(known.content), 2))


def box(points: Tensor, margin: float = 0.025) -> tuple[Tensor, Tensor]:
    """Corner and sides [..., 1, 2] of the box about points [..., P, 2], with some of the sides more all around."""
    low, high = points.amin(-2, keepdim=True), points.amax(-2, keepdim=True)
    side = (high - low).clamp_min(1e-6)
    return low - margin * side, (1 + 2 * margin) * side


COMPLETION = Component(COMPONENT, CompletionConfig, lambda config, layers: LandmarkCompletion(config, layers))
