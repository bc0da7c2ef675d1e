"""Renders people who exist nowhere: one frontal still each, for the portrait generator to learn faces from.

The studio (its folder is an argument) builds a head from a seed and draws one picture of it: neutral, mouth closed, the
head within a few degrees of the camera's axis, light, background, framing and clothes of their own. Sex, age group and
skin are balanced: person n has place n mod 18 of the 18 combinations. Each is `<name>.jpg` (256 px) and `<name>.npz`
(landmarks [1,68,2] in pixels, pose [1,3] in degrees, attributes and look as JSON): what `datasets/stills.py` reads. The
.npz comes last, so an interrupted run goes on where it was. The same name gives the same person and picture.

    python benchmarks/render_people.py STUDIO OUT/train --count 3000
    python benchmarks/render_people.py STUDIO OUT/val --count 200 --first 1000000
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ending import run_program

_SEXES, _AGES, _SKINS = ("f", "m"), ("young", "middle", "old"), ("light", "medium", "dark")
_PLACES = tuple(itertools.product(_SKINS, _AGES, _SEXES))
_SIZE, _SUPERSAMPLED, _DEGREES = 256, 2, 8.0


def attributes(number: int) -> dict[str, Any]:
    """Who person `number` is: id, sex, age group, skin and seed, in the studio's words."""
    skin, age, sex = _PLACES[number % len(_PLACES)]
    name = f"p{number:07d}"
    return {"id": name, "sex": sex, "age": age, "skin": skin, "seed": zlib.crc32(name.encode()) & 0x7FFFFFFF}


class Studio:
    """The studio in a folder, with skins painted at a size that a still of 256 px can show."""

    def __init__(self, folder: Path, cache: Path, texture: int) -> None:
        os.environ["STUDIO_CACHE"] = str(cache / f"studio-{texture}")
        sys.path.insert(0, str(folder))
        self.person, self.scene = importlib.import_module("person"), importlib.import_module("scene")
        # The studio samples smooth skin from half-size textures: painting that half at once is four times cheaper.
        self.person.S0, self.person.S1 = texture, texture // 2
        # A neutral still needs lids and jaw of the 57 expressions; to bind the others to hair and brows is slow.
        parts = self.person.assets()
        kept = [parts.expr.index(name) for name in ("jawOpen", "eyeBlink_L", "eyeBlink_R")]
        parts.E, parts.expr = parts.E[kept], [parts.expr[k] for k in kept]

    def still(self, number: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Person `number`: the picture uint8 [256,256,3] RGB and what its .npz holds."""
        who = attributes(number)
        rng = np.random.default_rng([number, 12])
        body = self.person.build_person(who)
        body.half = body.TEX[:2]
        tint = 1 + rng.uniform(-0.6, 0.6, 3)
        self.person.set_shirt(body, rng.uniform(0.03, 0.5) * tint, int(rng.integers(1 << 30)))
        frame_cm = float(np.clip(body.face_h / 0.74 / rng.uniform(0.5, 0.62), 26, 40))
        scene = self.scene.Scene(
            _SIZE, _SUPERSAMPLED, self.scene.Light(rng), backdrop(rng), frame_cm,
            cx=float(rng.uniform(-0.02, 0.02) * frame_cm),
            cy=float(body.face_c[1]) + 0.9 + float(rng.uniform(-0.02, 0.03) * frame_cm),
        )  # fmt: skip
        pose = np.clip(rng.normal(0, [4.0, 3.5, 1.2]), -_DEGREES, _DEGREES)
        renderer = self.scene.Renderer(body, scene)
        picture = renderer.frame(np.zeros(len(body.expr), np.float32), *pose)
        points, _, visible = renderer.truth()
        return picture, {
            "landmarks": points[None].astype(np.float16),
            "visible": visible[None],
            "pose": pose[None].astype(np.float16),
            "attributes": json.dumps(who),
            "look": json.dumps(body.look, default=str),
        }


def backdrop(rng: np.random.Generator) -> np.ndarray:
    """A plain studio wall, muted, with a soft pool of light: linear RGB float32 [256,256,3]."""
    y, x = np.mgrid[0:_SIZE, 0:_SIZE].astype(np.float32) / _SIZE
    wall = rng.uniform(0.04, 0.5) * (1 + rng.uniform(-0.15, 0.15, 3))
    centre, fall = rng.uniform(0.3, 0.7, 2), rng.uniform(0.1, 0.5)
    pool = 1 - fall * np.clip(np.hypot(x - centre[0], y - centre[1]) / 0.75, 0, 1) ** 1.6
    return (wall * pool[..., None]).astype(np.float32)


def write(folder: Path, name: str, picture: np.ndarray, labels: dict[str, Any]) -> None:
    """The two files of one still, each whole or not there; the .npz last."""
    import cv2

    image, numbers = folder / f"{name}.part.jpg", folder / f"{name}.part.npz"
    cv2.imwrite(str(image), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    np.savez_compressed(numbers, **labels)
    image.replace(folder / f"{name}.jpg")
    numbers.replace(folder / f"{name}.npz")


def main() -> None:
    """Render the people that are not there yet, until `count` are or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studio", type=Path, help="folder of the studio (person.py, scene.py)")
    parser.add_argument("out", type=Path, help="folder to write to; its parent keeps the studio's cache")
    parser.add_argument("--count", type=int, default=3000, help="how many people in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first; other numbers are other people")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long, whole files only")
    parser.add_argument("--texture", type=int, default=320, help="px of the face's skin")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    studio = Studio(options.studio.resolve(), options.out.resolve().parent, options.texture)
    start, made = time.monotonic(), 0
    for number in range(options.first, options.first + options.count):
        name = attributes(number)["id"]
        if (options.out / f"{name}.npz").exists():
            continue
        if time.monotonic() - start > options.minutes * 60:
            break
        write(options.out, name, *studio.still(number))
        made += 1
        if made % 50 == 0:
            print(f"{made} people, {(time.monotonic() - start) / made:.2f} s each, at {name}", flush=True)
    print(f"{made} people rendered; {len(list(options.out.glob('*.npz')))} are in {options.out}", flush=True)


if __name__ == "__main__":
    run_program(main)
