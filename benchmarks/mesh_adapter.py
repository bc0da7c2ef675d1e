"""Fits and measures the way between a track's 68 points and the 131 of MediaPipe's mesh that IP_LAP's networks take.

    mediapipe-env/bin/python benchmarks/mesh_mediapipe.py STUDIO/crowd/train/*.mp4 --every 40 --out TRAIN
    mediapipe-env/bin/python benchmarks/mesh_mediapipe.py STUDIO/crowd/val/*.mp4 --every 4 --out VAL
    python -m benchmarks.mesh_adapter STUDIO TRAIN VAL [--fit]

With `--fit` the tables of talkface_core/landmark_diffusion/mesh_adapter.py are printed, fitted on TRAIN. Otherwise
those that are there are measured on VAL, people whom the fit did not see: the distance of mixed points from the mesh by
that of the outer eye corners, and how well a mouth's opening survives the way to the mesh's motion and back.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ending import files_in, run_program
from talkface_core.arrays import read_npz
from talkface_core.landmark_diffusion import mesh_adapter
from talkface_core.landmark_diffusion.landmarks import IBUG_68, MESH_131, MESH_POINTS

CANDIDATES = 9
Points = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studio", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("val", type=Path)
    parser.add_argument("--fit", action="store_true")
    args = parser.parse_args()
    if args.fit:
        pairs = read(args.studio / "crowd" / "train", args.train)
        track, mesh = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        print(f"# fitted on {len(track)} frames")
        # What says the pose is made of what says the pose: the film's own mouth tells the network nothing.
        pose, content = list(IBUG_68.pose), list(IBUG_68.content)
        places, weights = fit(track[:, pose], mesh[:, list(MESH_131.pose)])
        more = fit(track, mesh[:, list(MESH_131.content)])
        show("TO_MESH", [tuple(pose[k] for k in trio) for trio in places] + more[0], weights + more[1])
        show("FROM_MESH", *fit(mesh[:, list(MESH_131.content)], track[:, content]))
        return
    measure(read(args.studio / "crowd" / "val", args.val))


def read(clips: Path, meshes: Path) -> list[tuple[Points, Points]]:
    """Of each clip the frames in which a face was found: 68 true points and 131 of the mesh, in distances of the outer
    eye corners from their middle."""
    pairs = []
    for path in files_in(meshes, ".npz"):
        found = read_npz(path)
        mesh = found["mesh"][:, list(MESH_POINTS)].astype(np.float64)
        track = read_npz(clips / path.name)["landmarks"][:: int(found["every"])][: len(mesh)].astype(np.float64)
        seen = np.isfinite(mesh).all((1, 2))
        track, mesh = track[seen], mesh[: len(track)][seen]
        middle = (track[:, [36]] + track[:, [45]]) / 2
        scale = np.linalg.norm(track[:, [45]] - track[:, [36]], axis=-1, keepdims=True)
        pairs.append(((track - middle) / scale, (mesh - middle) / scale))
    return pairs


def fit(given: Points, wanted: Points) -> tuple[list[tuple[int, ...]], list[tuple[float, ...]]]:
    """For each point of `wanted` [N,W,2] the three of `given` [N,G,2] whose fixed mix (weights sum to 1) is nearest."""
    places, weights = [], []
    for point in wanted.swapaxes(0, 1):
        near = np.linalg.norm(given - point[:, None], axis=-1).mean(0).argsort()[:CANDIDATES]
        best: tuple[float, tuple[int, ...], tuple[float, ...]] = (np.inf, (), ())
        for trio in combinations(near, 3):
            a, b, c = (given[:, k] for k in trio)
            basis = np.stack([(a - c).ravel(), (b - c).ravel()], 1)
            # A little ridge keeps weights small where three points lie on a line.
            gram = basis.T @ basis + 1e-4 * len(basis) * np.eye(2)
            mix = np.linalg.solve(gram, basis.T @ (point - c).ravel())
            error = float(np.square(basis @ mix - (point - c).ravel()).mean())
            if error < best[0]:
                chosen = (mix[0], mix[1], 1 - mix.sum())
                best = (error, tuple(int(k) for k in trio), tuple(round(float(w), 3) for w in chosen))
        places.append(best[1])
        weights.append(best[2])
    return places, weights


def show(name: str, places: list[tuple[int, ...]], weights: list[tuple[float, ...]]) -> None:
    rows = [(*trio, *mix) for trio, mix in zip(places, weights, strict=True)]
    print(f"{name} = (")
    for row in rows:
        print(f"    {row},")
    print(")")


def measure(pairs: list[tuple[Points, Points]]) -> None:
    import torch

    away, opened, given = [], [], []
    for track, mesh in pairs:
        mixed = mesh_adapter.to_mesh(torch.from_numpy(track))
        away.append(np.linalg.norm(mixed.numpy() - mesh, axis=-1))
        content = torch.from_numpy(mesh[:, list(MESH_131.content)])
        motion = mesh_adapter.motion_from_mesh(content - content.mean(0, keepdim=True)).numpy()
        whole = track.copy()
        whole[:, list(IBUG_68.content)] = track[:, list(IBUG_68.content)].mean(0) + motion
        opened.append(IBUG_68.opening(torch.from_numpy(whole)).numpy())
        given.append(IBUG_68.opening(torch.from_numpy(track)).numpy())
    all_away = np.concatenate(away)
    parts = {"all": range(131), "pose": MESH_131.pose, "jaw": MESH_131.jaw, "lips": MESH_131.lips}
    for name, places in parts.items():
        print(f"to the mesh, {name}: {100 * all_away[:, list(places)].mean():.2f} % of the outer eye corners' distance")
    moved = [np.corrcoef(a, b)[0, 1] for a, b in zip(opened, given, strict=True)]
    size = [a.std() / b.std() for a, b in zip(opened, given, strict=True)]
    frames = sum(map(len, given))
    print(
        f"opening by the mesh's motion: correlation {np.mean(moved):.3f}, spread {np.mean(size):.2f} of {frames} frames"
    )


if __name__ == "__main__":
    run_program(main)
