"""A checkpoint of a bundled one's networks with random weights: what training from nothing begins with.

    python -m benchmarks.untrained NAME OUT.safetensors --component autoencoder speech2latent [--seed 0]

Components that are not named keep their weights. What it draws is noise: it is there to be trained, as by `personalise
--talker OUT.safetensors`, and says so in its provenance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from benchmarks.ending import run_program
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.components import Component
from talkface_core.dae_talker.model import AUTOENCODER, SPEECH2LATENT
from talkface_core.joining import Joint
from talkface_core.ladtalk.model import TEXTURE

KINDS: dict[str, Component] = {kind.name: kind for kind in (AUTOENCODER, SPEECH2LATENT, TEXTURE)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", metavar="NAME|FILE")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--component", nargs="+", required=True, choices=tuple(KINDS))
    parser.add_argument("--drop", nargs="*", default=[], metavar="NAME", help="components to leave out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    path = find_checkpoint(args.checkpoint)
    checkpoint, joint = read_checkpoint(path), Joint.of(path)
    torch.manual_seed(args.seed)
    for name in args.component:
        kind = KINDS[name]
        net: nn.Module = kind.network(checkpoint.config(name, kind.config))
        joint.states[name] = net.state_dict()
    for name in args.drop:
        joint.drop(name)
    joint.provenance["untrained"] = args.component
    joint.save(args.out)


if __name__ == "__main__":
    run_program(main)
