"""Stage 2 of training (DAE-Talker): speech to latents and the voice activity gate, on the frozen encoder's latents.

The paper's loss is latent regression plus L_pose, with the true pose projected. Ours adds what makes a small model
robust (each a setting): a read-out of the mouth, other voices with labels, sounds that are augmented, and silences that
are cut into the clips. The gate learns beside it, on the same clips with more noise.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ..acoustic.encoded_ear import heard_settings
from ..acoustic.model import ACOUSTIC, AcousticModel, load_acoustic
from ..acoustic.stream import quiet_features
from ..acoustic.training_batches import well_inside_silence
from ..acoustic.training_by_ear import add_ear, clip_waves, ear_of, heard_by
from ..checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ..datasets.clips import ClipSet, open_splits
from ..datasets.labelled_sounds import SpeechClip, read_voices, voice_waves
from ..datasets.labels import VISEMES
from ..datasets.sounds import SOUND_VERSIONS
from ..errors import InputError
from ..speech.frame_front import MEL
from ..speech.vad import GateConfig, VoiceActivityGate, gate_loss
from ..training.arguments import add_batch_size, add_preset
from ..training.config import TrainConfig
from ..training.curves import plot_curves
from ..training.recipe import Batch, Plan, Recipe
from .autoencoder import DiffusionAutoencoder
from .decode import encode
from .model import SPEECH2LATENT, SYSTEM, build_speech, load_autoencoder
from .pose import pose_units
from .speech2latent import HEARD, Speech2Latent, Speech2LatentConfig
from .speech_batches import Speech2LatentTraining, SpeechBatches
from .speech_data import read_clips
from .speech_loss import (
    MouthReadout,
    Speech2LatentLossWeights,
    SpeechHeads,
    speech2latent_loss,
)

TRAINING = {
    "tiny": TrainConfig(
        lr=1e-3,
        schedule="cosine",
        warmup=50,
        final_lr=0.02,
        beta2=0.98,
        weight_decay=0.02,
        ema_decay=0.998,
        precision="auto",
    ),
    "base": TrainConfig(lr=1e-4, optimiser="adam", ema_decay=0.999, precision="auto"),
}
STEPS = {"tiny": 3000, "base": 100_000}
_ENCODED_AT_ONCE = 64


class Speech2LatentRecipe(Recipe):
    """Trains `Speech2Latent` and, where the clips tell speech from silence, `VoiceActivityGate`.

    An acoustic model, which knows many voices, is heard frozen.
    """

    name = "dae-talker"

    def __init__(
        self,
        clips: Sequence[SpeechClip],
        config: Speech2LatentConfig,
        voices: Sequence[SpeechClip] = (),
        training: Speech2LatentTraining | None = None,
        gate: GateConfig | None = None,
        frozen: Mapping[str, nn.Module] | None = None,
        frozen_configs: Mapping[str, Mapping[str, Any]] | None = None,
        data: str = "clips",
        acoustic: AcousticModel | None = None,
    ):
        """`clips` have latents (see `speech_data.read_clips`), `voices` have labels only (`read_voices`). `frozen` are
        the other components of the checkpoint (the autoencoder of stage 1) and `frozen_configs` their configs. The
        frozen `acoustic` model is heard in place of the log-mel (None: the log-mel).

        Raises InputError for clips without latents, or latents of another size than the config's.
        """
        self.clips, self.voices = list(clips), list(voices)
        if not self.clips or any(clip.latents is None for clip in self.clips):
            raise InputError("speech2latent needs clips with latents: encode the clips with the autoencoder first")
        latent_dim = self.clips[0].latents.shape[1]
        if latent_dim != config.latent_dim:
            raise InputError(
                f"latents of {latent_dim} values do not fit a speech2latent for {config.latent_dim}: "
                "set latent_dim to the autoencoder's"
            )
        self.settings, self.data = training or Speech2LatentTraining(), data
        self.frozen, self.frozen_configs = dict(frozen or {}), dict(frozen_configs or {})
        # A projection of features that are never heard would never be trained.
        heard = {"mel": MEL}
        if acoustic is not None:
            self.frozen[ACOUSTIC.name] = acoustic.eval().requires_grad_(False)
            self.frozen_configs[ACOUSTIC.name] = acoustic.config.to_dict()
            heard = {HEARD: acoustic.front_end}
        self.acoustic = acoustic
        config = replace(config, fronts=heard)
        self.model = Speech2Latent(config)
        self.modules: dict[str, nn.Module] = {"speech2latent": self.model}
        self._fit()
        tells = any(clip.speech is not None for clip in (*self.clips, *self.voices))
        self.gate = VoiceActivityGate(gate) if tells else None
        if self.gate is not None:
            self.modules["gate"] = self.gate
        if self.weights.viseme or self.weights.mouth:
            mouths = self.readout.weight.shape[1]
            self.modules["heads"] = SpeechHeads(config.width, len(VISEMES), mouths)
        self._frozen_readout = self.readout
        judge = self.gate.config if self.gate else None
        with_ear = acoustic is not None and any(clip.by_ear is not None for clip in self.clips)
        quiet = quiet_features(acoustic) if acoustic is not None and with_ear else None
        self.batches = SpeechBatches(self.clips, self.voices, self.settings, self.model, self.readout, judge, quiet)
        self.config: Mapping[str, Any] = {
            "speech2latent": config.to_dict(),
            "gate": self.gate.config.to_dict() if self.gate else None,
            "training": asdict(self.settings),
            "clips": len(self.clips),
            "voices": len(self.voices),
            "acoustic": heard_settings(acoustic),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        parser.add_argument("--autoencoder", metavar="NAME|FILE", help="the trained autoencoder of stage 1")
        parser.add_argument("--voices", metavar="DIR", action="append", help="other voices with truth; repeatable")
        parser.add_argument(
            "--acoustic", metavar="NAME|FILE", help="hear by this acoustic model (default: as --init does, or log-mel)"
        )
        add_ear(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        if args.autoencoder is None:
            raise InputError(
                "dae-talker needs --autoencoder: the checkpoint that dae-talker-autoencoder made of this face"
            )
        acoustic = None if args.acoustic is None else load_acoustic(args.acoustic)
        begun = read_checkpoint(find_checkpoint(args.init)) if args.init else None
        if begun is not None and SPEECH2LATENT.name in begun.configs:
            known = build_speech(begun).acoustic
            if acoustic is not None and known is None:
                raise InputError(
                    f"--init {args.init}: its speech2latent hears the log-mel and no acoustic model; leave --acoustic "
                    "out to go on so, or --init to begin anew."
                )
            acoustic = acoustic or known
        (clips, _), settings = open_splits(args.data), Speech2LatentTraining()
        autoencoder = load_autoencoder(args.autoencoder, args.device, torch.float32)
        ear, folders = ear_of(args.ear, acoustic), [Path(folder).absolute() for folder in args.voices or ()]
        voices = []
        for n, folder in enumerate(folders, 1):
            said = read_voices(folder, SOUND_VERSIONS, args.seed + n)
            voices += heard_by(ear, acoustic, said, voice_waves(folder, said), args.seed + n)
        own, others = args.batch_size or settings.own, args.batch_size or settings.voices
        latents = latents_of(autoencoder, clips, args.cache, args.quiet)
        speaker = read_clips(clips, latents, SOUND_VERSIONS, args.seed)
        recipe = cls(
            heard_by(ear, acoustic, speaker, clip_waves(clips), args.seed),
            Speech2LatentConfig.preset(args.preset, latent_dim=autoencoder.config.latent_dim),
            voices,
            replace(settings, seed=args.seed, own=own, voices=others),
            frozen={"autoencoder": autoencoder.cpu()},
            frozen_configs={"autoencoder": autoencoder.config.to_dict()},
            data=", ".join([clips.name, *(f"{folder.parent.name}/{folder.name}" for folder in folders)]),
            acoustic=acoustic,
        )
        recipe.config = {**recipe.config, "ear": None if ear is None else args.ear}
        return Plan(recipe, TRAINING[args.preset], STEPS[args.preset])

    @property
    def weights(self) -> Speech2LatentLossWeights:
        """The loss weights of the settings."""
        return self.settings.weights

    def _fit(self) -> None:
        """Normalisers and the read-out of the mouth, from all own clips."""
        self.motion_std = self._normalise().clamp_min(0.5 / 90)
        labelled = [c for c in self.clips if c.mouth is not None]
        if not labelled:
            self.readout = MouthReadout(self.model.config.latent_dim, 1)
            return
        normal = self.model.normalise(torch.cat([c.latents for c in labelled]))
        causes = [c.pose if c.pose is not None else torch.zeros(c.frames, 3) for c in labelled]
        eyes = [c.eyes if c.eyes is not None else torch.ones(c.frames) for c in labelled]
        others = torch.cat([torch.cat(causes), torch.cat(eyes)[:, None]], dim=1)
        silent = torch.cat([well_inside_silence(c) for c in labelled])
        self.readout = MouthReadout.fit(normal, torch.cat([c.mouth for c in labelled]), others, silent)

    def _normalise(self) -> Tensor:
        """Set the model's normalisers from all own clips; gives the pose's deviation within a clip [3]."""
        latents = torch.cat([clip.latents for clip in self.clips])
        poses = [c.pose for c in self.clips if c.pose is not None] or [torch.zeros(1, 3)]
        pose = pose_units(torch.cat(poses))
        motion = torch.cat([pose_units(p) - pose_units(p).mean(0) for p in poses]).std(0, correction=0)
        self.model.set_statistics(latents, pose if len(pose) > 1 else torch.zeros(2, 3), motion)
        return motion

    def prepare(self, device: torch.device) -> None:
        """Copies the read-out to the device; the batches go on with their own. What the model learns is said in these
        clips' units, whoever's weights it begins with.
        """
        self._normalise()
        self._frozen_readout = copy.deepcopy(self.readout).to(device)
        if self.acoustic is not None:
            self.acoustic.to(device)
        self.motion_std = self.motion_std.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """See `SpeechBatches.draw`."""
        batch = self.batches.draw(rng)
        if self.acoustic is not None:
            shape = (*batch["visemes"].shape, self.acoustic.config.width)
            batch["noise"] = torch.from_numpy(rng.standard_normal(shape, np.float32))
        return batch

    def _heard(
        self, mel: Tensor, frames: int, noise: Tensor | None = None, by_ear: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """What the network hears of a log-mel [B,S,80]: itself, or the features [B,frames,W] of the acoustic model.

        noise [B,frames,W]: is added to features, by `features_noise` of their deviation; by_ear: an ear's features
        [B,frames,W], and in which rows [B] they are heard."""
        if self.acoustic is None:
            return mel
        with torch.no_grad():
            if by_ear is None:
                features = self.acoustic(mel, frames).features
            else:
                features, ear = by_ear[0].clone(), by_ear[1]
                if not ear.all():
                    features[~ear] = self.acoustic(mel[~ear], frames).features.to(features)
        if noise is None:
            return features
        return features + self.settings.features_noise * features.flatten(0, 1).std(0) * noise.to(features)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms of `speech2latent_loss` and the gate's."""
        frames = batch["latents"].shape[1]
        by_ear = (batch["features"], batch["by_ear"]) if "by_ear" in batch else None
        heard = self._heard(batch["mel"], frames, batch.get("noise"), by_ear)
        output = self.model(heard, frames, self.model.config.hears, batch["pose"], eyes=batch["eyes"])
        pose_mean = self.model.adaptor.pose_mean
        heads = self.modules.get("heads")
        terms = speech2latent_loss(output, batch, self._frozen_readout, pose_mean, self.motion_std, self.weights, heads)
        if self.gate is not None:
            terms["gate"] = gate_loss(self.gate(batch["gate_mel"]).float(), batch["gate_speech"])
            terms["loss"] = terms["loss"] + terms["gate"]
        return terms

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8] | None:
        """Mouth opening over time for four clips of the set: the truth above in grey, the model's in black."""
        clips = [c for c in (self.clips * 4)[:4] if c.mouth is not None]
        if not clips:
            return None
        model, rows = modules["speech2latent"], []
        device = next(model.parameters()).device
        for clip in clips:
            heard = self._heard(clip.mels[0][None].float().to(device), clip.frames)
            output = model(heard, clip.frames, self.model.config.hears)
            predicted = self.readout.opening(output.latents[0].float().cpu())
            rows.append(plot_curves([clip.mouth[:, -1], predicted]))
        return np.concatenate(rows)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """The whole system: the frozen components, speech2latent and the gate. The heads were for training only."""
        trained = {name: ema_modules[name] for name in ("speech2latent", "gate") if name in ema_modules}
        configs = {name: module.config.to_dict() for name, module in trained.items()}
        save_checkpoint(path, SYSTEM, {**self.frozen, **trained}, {**self.frozen_configs, **configs}, provenance)


def latents_of(
    autoencoder: DiffusionAutoencoder, clips: ClipSet, cache_dir: Path, quiet: bool = False
) -> NDArray[np.float32]:
    """The latents [N, D] of all frames of the clips."""
    frames = clips.frame_cache(autoencoder.config.image_size, cache_dir, quiet)
    starts = tqdm(range(0, len(frames), _ENCODED_AT_ONCE), desc="latents", disable=quiet)
    chunks = (torch.from_numpy(frames[start : start + _ENCODED_AT_ONCE].copy()) for start in starts)
    return torch.cat(list(encode(autoencoder, chunks))).numpy()
