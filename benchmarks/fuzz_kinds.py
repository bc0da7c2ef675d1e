"""What the fuzz does to inputs of each kind, and what it does with them then (see fuzz.py).

A case takes some of the seeds (fuzz_seeds.py), changes them by its own random numbers, and reads them as the pack does.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talkface_core.checkpoints import read_checkpoint, read_header
from talkface_core.cli.main import main as command
from talkface_core.cli.pose import read_pose
from talkface_core.components import build, problem
from talkface_core.dae_talker import convert as diffae
from talkface_core.dae_talker import model as dae_talker
from talkface_core.dae_talker.decode import decode, encode, noise_from_seed
from talkface_core.datasets.clips import ClipSet
from talkface_core.datasets.labels import mouth_targets, viseme_track
from talkface_core.datasets.talking_faces import talking_faces
from talkface_core.errors import InputError
from talkface_core.evaluation import probe
from talkface_core.faces import bundled
from talkface_core.faces.external_landmarks import external_track
from talkface_core.faces.head_pose import HeadPose
from talkface_core.faces.recipe_data import FacePictures
from talkface_core.ladtalk import convert as wav2lip
from talkface_core.ladtalk import model as ladtalk
from talkface_core.landmark_diffusion import model as landmark_diffusion
from talkface_core.landmark_diffusion.painter import Sampling
from talkface_core.media.audio import analysis_audio, analysis_blocks, audio_source, open_audio
from talkface_core.media.picture import open_film, read_picture
from talkface_core.media.playback import RULES, iterate_frames
from talkface_core.preparation import dataset
from talkface_core.training.state import FORMAT, STATE, read_progress

from .fuzz_seeds import ODD, Seeds, alter, packed, spoil, spoilt, written

REFUSED = (InputError, OSError)
_FLAGS = [
    *("--steps", "--fps", "--seed", "--model", "--pose", "--json", "--quiet", "--start", "--duration", "--sampler"),
    *("--device", "--face", "--length", "--texture", "--size", "--val", "--workers", "--data", "--out", "--convert"),
    *("--help", "--detector", "--sovqae", "--output", "-o", "--system", "--guidance", "--strength"),
]
_WORDS = [
    *("", " ", "a\nb", "9" * 500, "-", "--", "-1", "nan", "inf", "1e999", "²", "x:y", "../x", ".", "/dev/null"),
    *("%s", "é", "3", "0.5"),
]


@dataclass
class Case:
    """What is to be run, and the names of files and folders that it may write."""

    run: Callable[[], Any]
    may_write: set[str] = field(default_factory=set)


def make(kind: str, seeds: Seeds, folder: Path, name: str) -> Case:
    """The case of that name: its files are written to `folder`."""
    makers = (_audio, _video, _picture, _checkpoint, _convert, _pose, _data, _api, _argv)
    return {maker.__name__[1:]: maker for maker in makers}[kind](seeds, folder, random.Random(name))


def _audio(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    path = spoilt(seeds.audio + seeds.video[:1], folder, rng)

    def run() -> None:
        source = open_audio(path)
        heard = sum(len(block) for block in analysis_blocks(source))
        assert heard
        assert source.num_samples() == sum(block.shape[1] for block in source.blocks())

    return Case(run)


def _video(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    path, rule = spoilt(seeds.video, folder, rng), rng.choice(RULES)

    def run() -> None:
        film = open_film(path)
        seen = sum(len(chunk) for chunk in islice(film.forwards(8), 100))
        for chunk in islice(iterate_frames(film, seen, rng.randrange(1, 3 * seen + 2), rule, 8), 100):
            assert chunk.shape[1:] == (film.height, film.width, 3)

    return Case(run)


def _picture(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    path = spoilt(seeds.picture, folder, rng)
    return Case(lambda: next(open_film(path).forwards()) if rng.random() < 0.3 else read_picture(path))


def _checkpoint(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    source = rng.choice(seeds.checkpoint)
    data = source.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    match rng.randrange(6):
        case 0:
            data = spoil(data, rng)
        case 1:
            text = spoil(json.dumps(header).encode(), rng)
            data = struct.pack("<Q", len(text)) + text + body
        case 2 | 3:
            part = rng.choice(["__metadata__", *rng.sample(sorted(header), 3)])
            header[part] = alter(header[part], rng)
            data = packed(header, body)
        case _:
            name = rng.choice(["configs", "configs", "configs", "provenance"])
            header["__metadata__"][name] = json.dumps(alter(json.loads(header["__metadata__"][name]), rng))
            data = packed(header, body)
    path = written(folder / "in.safetensors", data)
    return Case(lambda: _use(path))


def _use(path: Path) -> None:
    header = read_header(path)
    tables = {module.SYSTEM: module.COMPONENTS for module in (dae_talker, ladtalk, landmark_diffusion)}
    tables |= {bundled.SYSTEM: bundled.COMPONENTS, probe.SYSTEM: probe.COMPONENTS}
    table = tables.get(header.system, {})
    checkpoint = read_checkpoint(path)
    told = problem(checkpoint, table)
    nets = {name: build(checkpoint, table[name]) for name in checkpoint.configs if name in table}
    if told:
        raise InputError(told)
    mel = torch.randn(1, 40, 80)
    if header.system == landmark_diffusion.SYSTEM:
        _paint(path)
        return
    with torch.inference_mode():
        if "gate" in nets:
            nets["gate"].fade(mel)
        if "speech2latent" in nets:
            nets["speech2latent"](mel, 10)
        if (net := nets.get("autoencoder")) is not None and net.config.image_size <= 256:
            list(encode(net, iter([torch.zeros(1, net.config.image_size, net.config.image_size, 3)])))
            list(decode(net, torch.zeros(1, net.config.latent_dim), noise_from_seed(net, 0), steps=1))
        if (net := nets.get("wav2lip")) is not None:
            face = torch.zeros(1, 3, net.config.size, net.config.size)
            net(face, face, mel[:, None, :16].transpose(2, 3))
        if (net := nets.get("sovqae")) is not None:
            net(torch.zeros(1, 3, net.config.image_size, net.config.image_size))
        if (net := nets.get("finder")) is not None:
            net(torch.zeros(1, 3, 64, 64))
        for name in ("reader", "probe"):
            if (net := nets.get(name)) is not None:
                net(torch.zeros(1, 3, net.config.size, net.config.size))


def _paint(path: Path) -> None:
    checkpoint = landmark_diffusion.read_whole(path)
    completion, painter = landmark_diffusion.build_completion(checkpoint), landmark_diffusion.build_painter(checkpoint)
    known = completion.completion.landmarks
    places = torch.rand(1, 20, known.count, 2)
    if not completion.completion.config.published:
        completion.completion(torch.randn(1, 20, completion.completion.config.audio), places, places[:, :3])
    if painter.size <= 256:
        faces = torch.rand(1, 3, painter.size, painter.size)
        references = painter.encode_references(faces, places[0, :1])
        index = torch.zeros(1, painter.references, dtype=torch.long)
        painter.paint(faces, places[0, :1], references.at(index), Sampling(steps=1))


def _convert(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    container = copy.copy(rng.choice([seeds.diffae, seeds.wav2lip]))
    state = dict(container["state_dict"])
    for key in rng.sample(sorted(state), min(len(state), rng.randint(0, 2))):
        odd = [torch.eye(3).to_sparse(), torch.zeros(2, dtype=torch.cfloat), torch.zeros(0), 3, None, torch.zeros(1, 1)]
        odd += [torch.full((2,), torch.nan), torch.zeros(()).expand(2**20, 2**20), torch.zeros(2, dtype=torch.bool)]
        state[key] = rng.choice(odd)
    container["state_dict"] = state
    if rng.random() < 0.3:
        place = rng.choice(list(container))
        container[place] = alter(container[place], rng) if place != "state_dict" else rng.choice(ODD)
    file = io.BytesIO()
    torch.save(container, file, _use_new_zipfile_serialization=rng.random() < 0.8)
    data = spoil(file.getvalue(), rng) if rng.random() < 0.6 else file.getvalue()
    path = written(folder / f"in.{rng.choice(['pth', 'ckpt', 'zip'])}", data)
    convert = wav2lip.convert_wav2lip if rng.random() < 0.3 else diffae.convert_diffae
    return Case(lambda: convert(path, folder / "out.safetensors"), {"out.safetensors"})


def _pose(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    rows = [[rng.choice([k, k / 3, -k]), *(rng.uniform(-95, 95) for _ in range(3))] for k in range(rng.randint(0, 6))]
    kind = rng.choice(["txt", "csv", "json", "npy"])
    if kind == "json":
        named = [dict(zip(("seconds", "yaw", "pitch", "roll"), row, strict=True)) for row in rows]
        value = rng.choice([rows, named, {str(row[0]): row[1:] for row in rows}])
        data = json.dumps(alter(value, rng) if rng.random() < 0.6 else value).encode()
    elif kind == "npy":
        file, dtype = io.BytesIO(), rng.choice(["f4", "f8", "i2", "u1", "c8", "U5", "?", "M8[s]"])
        rng.choice([np.save, np.savez])(file, np.array(rows or [[0, 0, 0, 0]])[:, 1:].astype(int).astype(dtype))
        data = file.getvalue()
    else:
        data = "\n".join(f"{row[0]}: {', '.join(map(str, row[1:]))}" for row in rows).encode()
    path = written(folder / f"in.{kind}", spoil(data, rng) if rng.random() < 0.8 else data)
    return Case(lambda: read_pose(str(path), Fraction(25)).at(10, 25))


def _data(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    kind = rng.randrange(5)
    if kind == 0:
        progress = {"step": 3, "seconds": 1.5, "sums": {"loss": [0.5, 2]}, "settings": {"train": {"seed": 0}}}
        meta = {"format": FORMAT, "progress": json.dumps(alter(progress, rng))}
        data = packed({"__metadata__": meta, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234")
        written(folder / STATE, spoil(data, rng) if rng.random() < 0.3 else data)
        return Case(lambda: read_progress(folder))
    if kind == 1:
        film = {"key": "k", "name": "a", "film": "a.mp4", "seconds": 4.0, "taken": 2.0, "val": 0.0}
        film |= {"dropped": {"no face": 2.0}, "clips": [{"name": "a_0", "seconds": 2.0, "split": "train"}]}
        data = json.dumps(alter({"settings": {"size": 64}, "films": [film]}, rng)).encode()
        written(folder / dataset.REPORT, spoil(data, rng) if rng.random() < 0.3 else data)
        return Case(lambda: dataset.State.open(folder, {"size": 64}).report())
    return _clips(seeds, folder, rng)


def _clips(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    (folder / "set").mkdir()
    shutil.copy(seeds.video[0], folder / "set" / "a.mp4")
    shutil.copy(seeds.audio[0], folder / "set" / "a.wav")
    truth = dict(seeds.truth)
    for key in rng.sample(sorted(truth), rng.randint(0, 2)):
        old = truth[key]
        odd = [np.zeros(3), np.full(old.shape, np.nan), np.array("text"), np.array(1e300), old[None], old.astype("U8")]
        odd += [np.array(json.dumps(rng.choice(ODD))), np.zeros((14, 68, 2)), np.full(old.shape, 1e30), old.ravel()[:9]]
        truth[key] = rng.choice(odd)
    file = io.BytesIO()
    rng.choice([np.savez, np.savez_compressed])(file, **truth)
    written(folder / "set" / "a.npz", spoil(file.getvalue(), rng) if rng.random() < 0.5 else file.getvalue())
    cache, faces = folder / "cache", rng.random() < 0.5

    def run() -> None:
        clips = ClipSet.open(folder / "set")
        labels = clips.clips[0].truth()
        mouth_targets(labels)
        viseme_track(labels.get("phonemes", []), 14)
        if faces:
            FacePictures.open(folder / "set", cache, 16, quiet=True)
        else:
            talking_faces(clips, 24, cache, quiet=True)

    return Case(run, {"cache"})


def _api(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    kind = rng.randrange(3)
    if kind == 0:
        shapes = (1, 1, 900), (1, 2, 900), (2, 1, 900), (1, 0, 9), (1, 1, 0), (900,), (1, 9, 9, 9), (1, 40, 50)
        wave = torch.randn(rng.choice(shapes), generator=torch.Generator().manual_seed(rng.randrange(9)))
        kinds = [torch.float32, torch.float16, torch.int16, torch.uint8, torch.bool, torch.float64, torch.cfloat]
        wave = wave.to(rng.choice(kinds)) * rng.choice([1, 1, 1, 10**4])
        odd = [wave.numpy(), wave.tolist(), wave.to("meta"), wave.to_sparse(), None, "a"]
        audio = {
            "waveform": rng.choice([wave, wave, rng.choice(odd)]),
            "sample_rate": rng.choice([16000, 44100.0, *ODD]),
        }
        sound = rng.choice([audio, audio, audio, audio, {"waveform": wave}, None, 3, [], {"sample_rate": 8000}])
        return Case(lambda: (list(audio_source(sound).blocks()), analysis_audio(sound)))
    if kind == 1:
        points = np.random.default_rng(rng.randrange(99)).normal(30, 9, (3, rng.choice([68, 68, 478, 5]), 2))
        points[rng.randrange(3)] *= rng.choice([1, 1, 1, np.nan, np.inf, 1e300, 0])
        face = {"landmarks_xy": points[0].tolist(), "score": rng.choice([0.9, *ODD])}
        found = {"frames": [[face], [], [face, face]], "image_size": rng.choice([[48, 64], [48, 64], *ODD])}
        given = rng.choice([points, torch.from_numpy(points), found, alter(found, rng), rng.choice(ODD)])
        fps, size = rng.choice([25, Fraction(25), *ODD]), rng.choice([(48, 64), None])
        return Case(lambda: external_track(given, fps, size))
    lines = [f"{k}: {rng.uniform(-99, 99)}, {rng.choice(ODD)}, 0" for k in range(rng.randint(0, 4))]
    text = spoil("\n".join(lines).encode() or b"0: 1, 2, 3", rng).decode("utf-8", "replace")
    return Case(lambda: HeadPose.from_text(text).at(5, 25))


def _argv(seeds: Seeds, folder: Path, rng: random.Random) -> Case:
    for source in (seeds.audio[0], seeds.face, seeds.picture[0], seeds.talker, seeds.ladtalk, seeds.landmarks):
        data = source.read_bytes()
        (folder / source.name).write_bytes(spoil(data, rng) if rng.random() < 0.15 else data)
    files = [path.name for path in folder.iterdir()]
    speak = f"speak sound.wav -o out.mp4 --model {seeds.talker.name} --steps 1 --device cpu".split()
    dub = f"dub {seeds.face.name} sound.wav -o out.mp4 --model {seeds.ladtalk.name} --device cpu --duration 0.2".split()
    landmarks = [*dub, "--system", "landmark-diffusion", "--steps", "1", "--model", seeds.landmarks.name]
    train = ["train", rng.choice(["sync", "wav2lip", "sovqae", "x"]), "--data", rng.choice(files), "--out", "run"]
    words = [*rng.choice([speak, speak, dub, landmarks, ["prepare"], ["models"], train, []])]
    for _ in range(rng.randint(0, 3)):
        at = rng.randint(min(1, len(words)), len(words))
        words[at : at + rng.choice([0, 0, 1])] = [rng.choice(rng.choice([_FLAGS, _WORDS, files]))]

    def run() -> None:
        told, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(said):
            try:
                status = command(words)
            except SystemExit as end:
                status = end.code
        if status:
            # A bar that had begun is no message.
            lines = [
                line for line in told.getvalue().strip().splitlines() if not re.search(r"(it|frame|step)/s|%\|", line)
            ]
            assert status == 2, (words, status)
            assert len(lines) == 1, (words, lines)
            assert lines[0].startswith("talkface: "), (words, lines)
            raise InputError(lines[0])

    return Case(run, {"out.mp4", *words})
