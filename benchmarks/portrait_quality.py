"""Portraits of voices never heard: do they agree with who speaks, how alike are they, and are they copies?

    python -m benchmarks.portrait_quality PORTRAIT CONRE OUT --people PEOPLE \\
        --voices portraits/val --voices crowd/val --voices-of-sex voices_crowd/val

PORTRAIT and CONRE are what see-the-speaker-portrait and -conre trained, PEOPLE holds train and val
(render_people.py). Reported, with bootstrap intervals over speakers: retrieval (of a
voice's own portrait among those of its set: the first, the first five; whether the first face has the voice's sex, its
sex and age group); for each of the three arms of the face prior how often a reader of renders (portrait_attributes.py,
its own error beside) sees the voice's sex and age group in the portrait, how alike portraits of one voice are over
seeds (the face encoder's cosine) and how far apart (colours); the same over guidance and weights of the prior; the
nearest faces of training to 20 portraits, beside how near people held out come. Writes OUT/quality.json, tables, and
sheets: OUT/portraits.png, OUT/nearest.png. All pictures show rendered people.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ending import run_program
from benchmarks.portrait_attributes import AttributeReader, given_back, read, train_reader
from talkface_core.arrays import read_npz
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.components import build
from talkface_core.faces.align import as_array
from talkface_core.media.picture import open_film
from talkface_core.pixels import to_bytes
from talkface_core.see_the_speaker.conre import FACE_ENCODER, SPEECH_ENCODER, FaceEncoder, SpeechCode
from talkface_core.see_the_speaker.portrait import PORTRAIT, PortraitModel
from talkface_core.see_the_speaker.portrait_space import PORTRAIT_SPACE
from talkface_core.see_the_speaker.prior import ARMS
from talkface_core.see_the_speaker.training.people import UNKNOWN, People, latents_of, portrait_of, read_people, signed
from talkface_core.see_the_speaker.training.voices import Voice, read_voices

_AT_ONCE = 16  # portraits


@dataclass(frozen=True)
class Heard:
    """Speakers never heard, one recording each: what is heard, what is known of them, their own portraits [N,S,S,3]."""

    name: str
    code: SpeechCode
    sex: NDArray[np.int64]
    age: NDArray[np.int64]
    portraits: NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait")
    parser.add_argument("conre")
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--voices", type=Path, action="append", default=[], help="sex and age group are known")
    parser.add_argument("--voices-of-sex", type=Path, action="append", default=[], help="the sex alone is known")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--reader-steps", type=int, default=600)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    stored = read_checkpoint(find_checkpoint(args.portrait))
    model = PortraitModel(*(build(stored, part) for part in (SPEECH_ENCODER, PORTRAIT_SPACE, PORTRAIT)))
    face = build(read_checkpoint(find_checkpoint(args.conre)), FACE_ENCODER)
    size = model.space.config.size
    people, others = (read_people(args.people / split, size) for split in ("train", "val"))
    sets = [hear(model, folder, True) for folder in args.voices]
    sets += [hear(model, folder, False) for folder in args.voices_of_sex]
    report: dict[str, Any] = {"people": len(people), "voices": {s.name: len(s.sex) for s in sets}}
    report["retrieval"] = {one.name: retrieval(one, model, face) for one in sets}
    show("retrieval", report["retrieval"])
    reader = train_reader(people, model.space, args.reader_steps)
    report["reader"] = reader_error(reader, others, model)
    show("the reader of renders, on people it never saw", report["reader"])
    report["arms"] = {
        arm: {s.name: made_of(s, model, reader, face, args, arm, 1.0, args.guidance)[0] for s in sets} for arm in ARMS
    }
    show("arms", report["arms"])
    half = joined(sets, 24)
    report["trade-off"] = {
        f"guidance {g:g}, weight {w:g}": made_of(half, model, reader, face, args, "fixed", w, g, seeds=2)[0]
        for g in (1.0, 2.0, 4.0)
        for w in (0.0, 0.5, 1.0)
    }
    show("trade-off", report["trade-off"])
    report["saw"] = {s.name: saw_of(s, model) for s in sets}
    report["copies"] = copies(half, model, people, others, args)
    report["seconds of a portrait"] = seconds(model, half)
    show("the rest", {name: report[name] for name in ("saw", "copies", "seconds of a portrait")})
    (args.out / "quality.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


@torch.no_grad()
def hear(model: PortraitModel, folder: Path, age_known: bool) -> Heard:
    """One recording of each speaker in a folder, up to ten seconds of it, and the speaker's face in its first frame."""
    size, voices = model.space.config.size, read_voices(folder, age_known=age_known)
    first = {speaker_of(folder / f"{voice.name}.npz"): voice for voice in reversed(voices)}
    chosen = list(reversed(first.values()))
    codes = [model.hear(voice.mels[0].float()[None, :800]) for voice in chosen]
    length = min(code.tokens.shape[1] for code in codes)
    code = SpeechCode(torch.cat([c.tokens[:, :length] for c in codes]), torch.cat([c.identity for c in codes]))
    own = np.stack([own_portrait(folder, voice, size) for voice in chosen])
    sex, age = (np.array([getattr(voice, name) for voice in chosen]) for name in ("sex", "age"))
    return Heard("/".join(folder.absolute().parts[-2:]), code, sex, age, own)


def speaker_of(labels: Path) -> str:
    return str(json.loads(str(read_npz(labels, "attributes")["attributes"])).get("id", labels.stem))


def own_portrait(folder: Path, voice: Voice, size: int) -> NDArray[np.uint8]:
    """The portrait of who is drawn to a voice: of a still, or of a film's first frame."""
    points = read_npz(folder / f"{voice.name}.npz", "landmarks")["landmarks"]
    film = folder / f"{voice.name}.mp4"
    source = open_film(film if film.is_file() else folder / f"{voice.name}.jpg")
    picture = to_bytes(as_array(next(iter(source.forwards(1)))))[0]
    return portrait_of(np.asarray(picture, np.uint8), points[0], size)


def joined(sets: list[Heard], most: int) -> Heard:
    """Up to so many speakers of all sets, taken in turn."""
    tokens = min(s.code.tokens.shape[1] for s in sets)
    turn = sorted((n / len(s.sex), k, n) for k, s in enumerate(sets) for n in range(len(s.sex)))
    step = max(len(turn) // most, 1)
    picked = [(k, n) for _, k, n in turn[::step]][:most]

    def of(name: str) -> NDArray[Any]:
        return np.stack([getattr(sets[k], name)[n] for k, n in picked])

    heard = torch.stack([sets[k].code.tokens[n, :tokens] for k, n in picked])
    identity = torch.stack([sets[k].code.identity[n] for k, n in picked])
    return Heard("all", SpeechCode(heard, identity), of("sex"), of("age"), of("portraits"))


def interval(values: NDArray[Any], seed: int = 0) -> dict[str, Any]:
    """Mean of speakers' values and its 95 % interval, by 2000 bootstrap samples of speakers."""
    values = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"mean": round(float(values.mean()), 4), "interval": [round(float(low), 4), round(float(high), 4)]}


@torch.no_grad()
def retrieval(heard: Heard, model: PortraitModel, face: FaceEncoder) -> dict[str, Any]:
    """Which faces of the set suit each voice best, against chance."""
    looks = torch.cat([face(signed(torch.from_numpy(part))) for part in np.array_split(heard.portraits, 4)])
    order = (heard.code.identity @ looks.T).argsort(1, descending=True).numpy()
    count, own = len(order), np.arange(len(order))
    same_sex = heard.sex[order[:, 0]] == heard.sex
    told = {
        "top 1": {**interval(order[:, 0] == own), "chance": round(1 / count, 4)},
        "top 5": {**interval((order[:, :5] == own[:, None]).any(1)), "chance": round(min(5 / count, 1), 4)},
        "sex of the first": {**interval(same_sex), "chance": chance(heard.sex)},
    }
    if (heard.age != UNKNOWN).all():
        same_age = heard.age[order[:, 0]] == heard.age
        told["age group of the first"] = {**interval(same_age), "chance": chance(heard.age)}
        told["sex and age group"] = {**interval(same_sex & same_age), "chance": chance(3 * heard.sex + heard.age)}
    return told


def chance(labels: NDArray[Any]) -> float:
    """How often somebody drawn at random has the label of somebody drawn at random."""
    return round(float(np.mean(labels[:, None] == labels[None])), 4)


def reader_error(reader: AttributeReader, others: People, model: PortraitModel) -> dict[str, Any]:
    """How often the reader is right, of people never seen, as they are and as the space gives them back."""
    told = {}
    for name, pictures in (("renders", others.signed(slice(None))), ("given back", given_back(others, model.space))):
        found = read(reader, pictures)
        told[name] = {"sex": interval(found.sex == others.sex), "age group": interval(found.age == others.age)}
    return told


@torch.no_grad()
def made_of(
    heard: Heard,
    model: PortraitModel,
    reader: AttributeReader,
    face: FaceEncoder,
    args: argparse.Namespace,
    arm: str,
    weight: float,
    guidance: float,
    seeds: int = 0,
) -> tuple[dict[str, Any], Tensor]:
    """What becomes of voices: agreement, likeness and spread over seeds; and the portraits [V,S,3,H,H] in -1..1."""
    count, seeds = len(heard.sex), seeds or args.seeds
    made = imagined(heard.code, model, seeds, arm, weight, guidance, args.steps)
    flat = made.flatten(0, 1)
    found, looks = read(reader, flat), face(flat).unflatten(0, (count, seeds))
    sex, age = found.sex.reshape(count, seeds), found.age.reshape(count, seeds)
    alike = torch.einsum("vsd,vtd->vst", looks, looks).numpy()
    pairs = ~np.eye(seeds, dtype=bool)
    across = torch.einsum("vd,wd->vw", looks[:, 0], looks[:, 0]).numpy()
    told = {
        "sex": interval((sex == heard.sex[:, None]).mean(1)),
        "identity over seeds": interval(alike[:, pairs].mean(1)),
        "identity over voices": round(float(across[~np.eye(count, dtype=bool)].mean()), 4),
        "diversity over seeds": interval((made.std(1) / 2).flatten(1).mean(1).numpy()),
    }
    known = heard.age != UNKNOWN
    if known.any():
        right = (age == heard.age[:, None]).mean(1)[known]
        told["age group"] = {**interval(right), "chance": chance(heard.age[known])}
    return told, made


@torch.no_grad()
def imagined(
    code: SpeechCode, model: PortraitModel, seeds: int, arm: str, weight: float, guidance: float, steps: int
) -> Tensor:
    """Portraits [V,S,3,H,H] in -1..1 of V voices under S seeds, the same seeds for each arm."""
    count = len(code.identity)
    voices, seed = (
        np.repeat(np.arange(count), seeds),
        np.tile(np.arange(seeds), count) + 1000 * np.repeat(range(count), seeds),
    )
    made = []
    for start in range(0, len(voices), _AT_ONCE):
        part = voices[start : start + _AT_ONCE]
        some = SpeechCode(code.tokens[part], code.identity[part])
        numbers = [int(s) for s in seed[start : start + _AT_ONCE]]
        made.append(model.portraits(some, numbers, arm, weight, guidance, steps))
    return (2 * torch.cat(made) - 1).unflatten(0, (count, seeds))


@torch.no_grad()
def saw_of(heard: Heard, model: PortraitModel) -> dict[str, float]:
    beta = model.denoiser.saw(heard.code.identity)
    spread = float(beta.mean(1).std()) if len(beta) > 1 else 0.0
    return {"mean": round(float(beta.mean()), 4), "over voices": round(spread, 4), "least": round(float(beta.min()), 4)}


def copies(
    heard: Heard, model: PortraitModel, people: People, others: People, args: argparse.Namespace
) -> dict[str, Any]:
    """How near portraits come to faces of training, beside how near other people do; the sheets."""
    made = imagined(heard.code, model, 4, "adaptive", 1.0, args.guidance, args.steps)
    known, new = latents_of(people.pictures, model.space), latents_of(others.pictures, model.space)[:, 0]
    shown = made[:20, 0]
    mine, index = nearest(model.space.encode(shown).detach(), known)
    theirs, _ = nearest(new, known)
    rows = [to_bytes(shown / 2 + 0.5).permute(0, 2, 3, 1).numpy(), people.pictures[index]]
    write_sheet(args.out / "nearest.png", np.concatenate(rows), len(shown))
    grid = to_bytes(made[:12] / 2 + 0.5).permute(1, 0, 3, 4, 2).flatten(0, 1).numpy()
    write_sheet(args.out / "portraits.png", np.concatenate([heard.portraits[:12], grid]), min(len(made), 12))
    return {
        "distance to the nearest of training": {"portraits": interval(mine), "people held out": interval(theirs)},
        "nearest of 20": round(float(mine.min()), 4),
        "nearest of people held out": round(float(theirs.min()), 4),
    }


def nearest(latents: Tensor, known: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Root mean square distance to the nearest of people's latents [N,2,C,L,L], and who that is."""
    apart = torch.cdist(latents.flatten(1), known.flatten(2).flatten(0, 1)) / latents[0].numel() ** 0.5
    least, index = apart.min(1)
    return least.numpy(), (index // 2).numpy()


def write_sheet(path: Path, pictures: NDArray[np.uint8], across: int) -> None:
    """Pictures [N,H,W,3] in rows of so many."""
    import cv2

    rows = [np.hstack(list(pictures[k : k + across])) for k in range(0, len(pictures), across)]
    cv2.imwrite(str(path), np.vstack([row for row in rows if row.shape == rows[0].shape])[..., ::-1])


def seconds(model: PortraitModel, heard: Heard) -> float:
    """Of one portrait, 25 steps with guidance, from the log-mel of five seconds."""
    mel, times = torch.zeros(400, 80), []
    for _ in range(3):
        start = time.perf_counter()
        model.imagine(mel)
        times.append(time.perf_counter() - start)
    return round(min(times), 2)


def show(title: str, table: Any) -> None:
    print(f"\n{title}\n{json.dumps(table, indent=1)}", flush=True)


if __name__ == "__main__":
    run_program(main)
