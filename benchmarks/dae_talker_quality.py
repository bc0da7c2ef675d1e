"""Quality of a DAE-Talker checkpoint on the validation clips of its data set: the table of the model card.

    python -m benchmarks.dae_talker_quality --data DATASET --out DIR [--model NAME|FILE] [--real-voices DIR]
        [--silence FILE …] [--clips N] [--ear WHISPER]

DATASET holds `train` (for the still background), `val` and, if it has them, `val_other_voices`, each with the truth
beside the clips; `--real-voices` is a folder of clips that say what real people said. Everything runs as `speak` runs
it by default: predicted pose with idle motion, the model's own sampler, steps and size. Besides the table
(`quality.md`, `quality.json`), DIR gets contact sheets of frames beside the truth and plots of the mouth's opening over
the waveform.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.ending import run_program
from benchmarks.pictures import contact_sheet, timing_plot
from talkface_core.dae_talker.decode import decode, encode, fit_square, noise_from_seed
from talkface_core.dae_talker.model import BUNDLED, DAETalker, load_dae_talker
from talkface_core.dae_talker.pipeline import Control, idle_motion, speak_to_file
from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.metrics import StillMask
from talkface_core.evaluation.probe import load_probe
from talkface_core.evaluation.report import OTHER_VOICES, OWN_VOICE, REAL_VOICES, Evaluation, Truth
from talkface_core.media.audio import AudioSource, audio_source, open_audio
from talkface_core.media.video_reader import VideoReader
from talkface_core.parallel import pick_workers
from talkface_core.training.arguments import above_zero

RATE = 16_000
YAWS = (15.0, -15.0)
LEVELS = (0.001, 0.003, 0.01, 0.03)
"""Root mean square of the noise floors, of full scale: -60 to -30 dB."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DATASET")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    parser.add_argument("--ear", metavar="FILE", help="default: bundled; none: the acoustic model alone")
    parser.add_argument("--silence", type=Path, nargs="*", default=[], metavar="FILE", help="recordings without speech")
    parser.add_argument("--real-voices", type=Path, metavar="DIR", help="clips of the face with real voices")
    parser.add_argument(
        "--clips", type=above_zero(int), metavar="N", help="of each split, for a quick look (default: all)"
    )
    parser.add_argument("--size", type=int, metavar="PX", help="side of the frames (default: the model's largest)")
    parser.add_argument("--sampler")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    talker, probe = load_dae_talker(args.model, args.device, ear=args.ear), load_probe()
    run = Run(talker, args.sampler, args.steps, args.size)
    evaluation = Evaluation(probe, still_mask(args.data / "train", run.size, args.out / "cache"))

    splits = [(args.data / "val", OWN_VOICE), (args.data / "val_other_voices", OTHER_VOICES)]
    splits += [(args.real_voices, REAL_VOICES)] if args.real_voices else []
    for folder, group in splits:
        if not folder.is_dir():
            continue
        clips = ClipSet.open(folder)
        frames = clips.frame_cache(run.size, args.out / "cache")
        for index, clip in enumerate(tqdm(clips.clips[: args.clips], desc=group)):
            real = np.asarray(frames[clips.starts[index] : clips.starts[index + 1]])
            truth = Truth.of(clip.truth(), clip.width, clip.height)
            if group == OWN_VOICE:
                decoded = run.autoencode(real)
                evaluation.add_autoencoding(clip.name, decoded, real, truth)
                contact_sheet(args.out / f"{clip.name}_autoencoded.png", {"real": real, "decoded": decoded})
            spoken = run.speak(audio_source(clip.audio()))
            evaluation.add_speech(group, clip.name, spoken, real, truth)
            contact_sheet(args.out / f"{clip.name}_spoken.png", {"real": real, "spoken": spoken})
            lines = {"truth": truth.mouth_open, "spoken": probe.read(spoken).mouth_open}
            timing_plot(args.out / f"{clip.name}_timing.png", clip.audio(), lines, float(clips.fps))

    for name, source in silences(args.silence):
        evaluation.add_silence(name, run.speak(source))
    first = ClipSet.open(args.data / "val").clips[0]
    for yaw in YAWS:
        turned = run.speak(audio_source(first.audio()), Control(pose=torch.tensor([yaw, 0.0, 0.0])))
        evaluation.add_pose(yaw, turned)
        contact_sheet(args.out / f"yaw{yaw:+.0f}.png", {"spoken": turned})

    report = evaluation.report("DAE-Talker on unseen clips", run.about(args.data))
    report.save(args.out, "quality")
    print(report.markdown())


class Run:
    """One model and one way of sampling."""

    def __init__(self, talker: DAETalker, sampler: str | None, steps: int | None, size: int | None = None) -> None:
        own = talker.autoencoder.config.sampling
        self.talker, self.sampler, self.steps = talker, sampler or own.sampler, steps or own.steps
        self.noise, self.size = noise_from_seed(talker.autoencoder, 0), talker.autoencoder.frame_size(size)

    def autoencode(self, real: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Real frames [T, H, W, 3] through latents and back, with the shared x_T."""
        model, workers = self.talker.autoencoder, pick_workers(self.talker.device)
        small = (fit_square(part, self.talker.image_size) for part in torch.tensor(real).split(16))
        z = torch.cat(list(encode(model, small)))
        chunks = decode(model, z, self.noise, self.sampler, self.steps, workers=workers, size=self.size)
        return torch.cat([chunk.cpu() for chunk in chunks]).numpy()

    def speak(self, source: AudioSource, control: Control | None = None) -> NDArray[np.uint8]:
        """Frames [T, H, W, 3] of the sound, read back from the video that the command line would write."""
        control = idle_motion(self.talker.speech, source, None, 0, control)
        settings = (control, self.noise, self.sampler, self.steps)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "spoken.mp4"
            workers = pick_workers(self.talker.device)
            speak_to_file(self.talker, source, path, None, *settings, workers=workers, size=self.size)
            return np.concatenate(list(VideoReader(path).chunks(64)))

    def about(self, data: Path) -> dict[str, str]:
        """What the table is about."""
        return {
            "model": self.talker.name,
            "data": data.name,
            "heard by": "the acoustic model" if self.talker.speech.ear is None else "an ear",
            "frames": f"{self.size} px",
            "sampling": f"{self.sampler}, {self.steps} network evaluations, one shared x_T (seed 0)",
            "speech, silence, pose": "measured on the frames of the mp4 that is written",
            "precision": f"decoder {self.talker.dtype} on {self.talker.device}".replace("torch.", ""),
        }


def still_mask(folder: Path, size: int, cache: Path) -> torch.Tensor:
    """Pixels [H, W] that stand still over the training set (every tenth frame)."""
    mask = StillMask()
    for part in np.array_split(ClipSet.open(folder).frame_cache(size, cache)[::10], 12):
        mask.add(part)
    return mask.mask()


def silences(files: list[Path]) -> list[tuple[str, AudioSource]]:
    """Digital silence, white, brown and mains-hum noise floors at four levels, and the given recordings."""
    n = 4 * RATE
    rng = np.random.default_rng(0)
    white = rng.standard_normal(n)
    brown = np.cumsum(rng.standard_normal(n))
    brown -= np.linspace(brown[0], brown[-1], n)
    hum = sum(np.sin(2 * np.pi * 50 * k * np.arange(n) / RATE) / k for k in (1, 2, 3, 5)) + 0.1 * white
    signals = [("digital silence", np.zeros(n))]
    for name, wave in (("white", white), ("brown", brown - brown.mean()), ("hum", hum)):
        signals += [(f"{name} {level:g}", wave * level / wave.std()) for level in LEVELS]
    sources = [
        (name, audio_source({"waveform": torch.tensor(w).float()[None, None], "sample_rate": RATE}))
        for name, w in signals
    ]
    return sources + [(path.stem, open_audio(path)) for path in files]


if __name__ == "__main__":
    run_program(main)
