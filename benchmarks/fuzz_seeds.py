"""What the fuzz begins with, made by code and cut from samples/, and how bytes and JSON are spoilt (see fuzz.py)."""

from __future__ import annotations

import copy
import json
import logging
import random
import shutil
import struct
import warnings
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.checkpoints import PRETRAINED
from talkface_core.media.video_reader import VideoReader
from tests.dae_talker.diffae_golden import load as load_golden
from tests.dae_talker.small import save_small_talker
from tests.ladtalk.small_ladtalk import save_small_ladtalk
from tests.landmark_diffusion.small_landmark_diffusion import save_small_landmark_diffusion

SAMPLES = Path(__file__).parents[1] / "samples"
ODD = (
    *(None, True, "", "²", "NaN", -1, 0, 1, 3, 2**31, 10**9, 10**30),
    *(1e308, 0.5, -0.5, [], {}, [[]], [1] * 50, "9" * 5000),
)
"""Values where others are expected."""

_MAGIC = (*(0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31), *(2**32 - 1, 2**63 - 1, 2**64 - 1))
_FILMS = {"mp4": "libx264", "mkv": "libx264", "ts": "mpeg2video", "avi": "mjpeg", "webm": "libvpx", "mov": "prores_ks"}
_SOUNDS = {"wav": "pcm_s16le", "flac": "flac", "ogg": "libopus", "mp3": "libmp3lame", "m4a": "aac", "mkv": "aac"}
_SOUNDS |= {"ts": "mp2", "aiff": "pcm_s16be", "mp4": "aac"}


class Seeds:
    """The files that cases begin with, by kind."""

    def __init__(self, folder: Path) -> None:
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
        folder.mkdir(parents=True)
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self.folder = folder
        t = np.arange(12000) / 24000
        tone = (0.3 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 4 * t))).astype(np.float32)
        self.audio = [made for kind in _SOUNDS if (made := _sound(folder / f"sound.{kind}", tone))]
        self.audio.append(folder / "hello.flac")
        shutil.copy(SAMPLES / "hello.flac", self.audio[-1])
        rng = np.random.default_rng(0)
        frames = np.clip(rng.normal(128, 20, (1, 48, 64, 3)) + 8 * np.arange(14)[:, None, None, None], 0, 255)
        made = [_film(folder / f"film.{kind}", codec, frames.astype(np.uint8)) for kind, codec in _FILMS.items()]
        self.video = [*filter(None, [*made, _film(folder / "film.gif", "gif", frames.astype(np.uint8), "rgb8")])]
        shown = [cv2.resize(frame, (160, 90)) for frame in next(VideoReader(SAMPLES / "ada.mp4").chunks(6))]
        self.face = _film(folder / "face.mp4", "libx264", np.stack(shown)) or self.video[0]
        picture = rng.integers(0, 255, (24, 18, 4), np.uint8)
        for kind in ("png", "webp", "tiff", "jpg", "bmp"):
            channels = 4 if kind in ("png", "webp", "tiff") else 3
            cv2.imwrite(str(folder / f"picture.{kind}"), picture[..., :channels])
        self.picture = sorted(folder.glob("picture.*")) + [path for path in self.video if path.suffix == ".gif"]
        self.talker = save_small_talker(folder / "talker.safetensors")
        self.ladtalk = save_small_ladtalk(folder / "ladtalk.safetensors")
        bundled = [PRETRAINED / f"{name}.safetensors" for name in ("face_tiny", "landmark_probe")]
        self.landmarks = save_small_landmark_diffusion(folder / "landmarks.safetensors")
        self.checkpoint = [self.talker, self.ladtalk, self.landmarks, *bundled]
        shapes = load_golden()["small"]["shapes"]
        state = {f"ema_model.{key}": torch.zeros(()).expand(shape) for key, shape in shapes.items()}
        settings = {"net_beatgans_attn_head": 2, "data_name": "toy", "beta_scheduler": "linear", "T": 1000}
        state["x_T"] = torch.zeros(1, 3, 16, 16)
        self.diffae = {"state_dict": state, "hyper_parameters": settings, "global_step": 7}
        keys = ("face_decoder_blocks.0.0.conv_block.0.weight", "output_block.1.weight", "face_encoder.0.weight")
        self.wav2lip = {"state_dict": {f"module.{key}": torch.zeros(3, 3) for key in keys}}
        count = 14
        points = rng.normal((32, 24), 8, (count, 68, 2))
        labels = {"landmarks": points, "pose": np.zeros((count, 3)), "mouth_open": np.zeros(count)}
        labels |= {"speech": np.ones(count, bool), "phonemes": np.array(json.dumps([["a", "AA", 0.0, 0.3]]))}
        self.truth = {key: value.astype(np.float16) if value.dtype == float else value for key, value in labels.items()}


def spoil(data: bytes, rng: random.Random, others: list[bytes] | None = None) -> bytes:
    """The bytes with one to four changes, more of them near the beginning, where headers are."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        size = max(len(made), 1)
        at = rng.randrange(min(size, rng.choice([16, 64, 512, size])))
        length = rng.choice([1, 2, 4, 8, rng.randrange(1, 200)])
        match rng.randrange(8):
            case 0 if made:
                made[min(at, len(made) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                made[at : at + length] = rng.randbytes(length)
            case 2:
                del made[at : at + length]
            case 3:
                made[at:at] = made[at : at + length] * rng.randint(1, 20)
            case 4:
                del made[rng.randrange(size) :]
            case 5:
                value = rng.choice(_MAGIC).to_bytes(8, rng.choice(["little", "big"]))
                made[at : at + 4] = value[:4] if rng.random() < 0.5 else value[4:]
            case 6:
                other = rng.choice(others) if others else bytes(made)
                made[at : at + length] = other[rng.randrange(max(len(other), 1)) :][: rng.choice([length, 5000])]
            case _:
                made += rng.randbytes(length)
    return bytes(made)


def alter(value: Any, rng: random.Random) -> Any:
    """JSON with one to three values, keys or lengths made strange."""
    whole = {"": copy.deepcopy(value)}
    for _ in range(rng.randint(1, 3)):
        holder, key = whole, ""
        while isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.85:
            holder = holder[key]
            key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        old = holder[key]
        if isinstance(old, dict) and old and rng.random() < 0.5:
            del old[rng.choice(list(old))]
        elif isinstance(old, int | float) and rng.random() < 0.6:
            holder[key] = rng.choice([old + 1, old - 1, old * 2, -old, old * 10**6, old // 2])
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD))
    return whole[""]


def written(path: Path, data: bytes) -> Path:
    """The file, with these bytes in it."""
    path.write_bytes(data)
    return path


def packed(header: Any, body: bytes) -> bytes:
    """A safetensors file of this header and body."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def spoilt(seeds: list[Path], folder: Path, rng: random.Random) -> Path:
    """A spoilt copy of one of the seeds, now and then under another suffix."""
    source = rng.choice(seeds)
    suffix = source.suffix if rng.random() < 0.9 else rng.choice(seeds).suffix
    others = [rng.choice(seeds).read_bytes()]
    return written(folder / f"in{suffix}", spoil(source.read_bytes()[:200_000], rng, others))


def _sound(path: Path, tone: NDArray[np.float32]) -> Path | None:
    try:
        with av.open(str(path), "w") as file:
            stream = file.add_stream(_SOUNDS[path.suffix[1:]], rate=24000, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
            frame.sample_rate = 24000
            for made in (frame, None):
                file.mux(stream.encode(made))
    except (av.FFmpegError, ValueError):
        path.unlink(missing_ok=True)
        return None
    return path


def _film(path: Path, codec: str, frames: NDArray[np.uint8], pixels: str = "yuv420p") -> Path | None:
    try:
        with av.open(str(path), "w") as file:
            stream = file.add_stream(codec, rate=25)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = {"mjpeg": "yuvj420p", "prores_ks": "yuva444p10le"}.get(codec, pixels)
            stream.options = {"g": "5"}
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            file.mux(stream.encode())
    except (av.FFmpegError, ValueError):
        path.unlink(missing_ok=True)
        return None
    return path
