"""Memory of the server: what /free gives back, and that long sound needs no more than short sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from talkface_core.checkpoints import save_checkpoint
from talkface_core.dae_talker.autoencoder import AutoencoderConfig, DiffusionAutoencoder
from talkface_core.dae_talker.speech2latent import Speech2Latent, Speech2LatentConfig

from .client import SUCCESS, Client
from .graphs import AUDIO, DECODE, LOADER, plain, streaming
from .media import talk
from .server import Host, Server

MIB = 2**20


@pytest.fixture(scope="module")
def server(host: Host, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose C library gives free memory back at once, so that what it holds is what is in use.

    With glibc's own settings much of it stays with the process, for its next allocations.
    """
    base = tmp_path_factory.mktemp("memory") / "base"
    thresholds = {"MALLOC_MMAP_THRESHOLD_": str(MIB), "MALLOC_TRIM_THRESHOLD_": str(MIB)}
    with Server(host, pack.parent, base, **thresholds) as running:
        yield running


@pytest.fixture
def large(server: Server) -> Iterator[Path]:
    """A checkpoint of the published size with random weights in the host's folder: 0.4 GB."""
    config = AutoencoderConfig.preset("base")
    with torch.device("meta"):
        modules = {
            "autoencoder": DiffusionAutoencoder(config),
            "speech2latent": Speech2Latent(Speech2LatentConfig.preset("base", latent_dim=config.latent_dim)),
        }
    components = {name: _random(module.half()) for name, module in modules.items()}
    configs = {"autoencoder": config.to_dict(), "speech2latent": modules["speech2latent"].config.to_dict()}
    path = server.models / "talkface" / "large.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_checkpoint(path, "dae_talker", components, configs, {"data": "none", "licence": "Apache-2.0"})
    yield path
    path.unlink()


def _random(module: nn.Module) -> nn.Module:
    """Small weights for a module that has none yet: they only have to be there."""
    module.to_empty(device="cpu")
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data.uniform_(-0.01, 0.01)
    return module


def test_free_gives_the_memory_back(server: Server, client: Client, large: Path, tmp_path: Path) -> None:
    name = client.upload(talk(tmp_path / "two_frames.wav", 0.08))
    assert client.run(plain(**{AUDIO: {"audio": name}})).status == SUCCESS
    client.free()
    before = server.rss()
    ended = client.run(plain(**{AUDIO: {"audio": name}, LOADER: {"checkpoint": large.name}, DECODE: {"seed": 5}}))
    assert ended.status == SUCCESS, ended.text
    loaded = server.rss()
    client.free()
    after = server.rss()
    print(f"{large.stat().st_size / MIB:.0f} MiB: {before / MIB:.0f}, {loaded / MIB:.0f}, {after / MIB:.0f} MiB")
    assert loaded - before > 0.8 * large.stat().st_size, "it was not loaded: the test shows nothing"
    assert loaded - after > 0.8 * (loaded - before)


def test_a_long_sound_needs_no_more_memory(server: Server, client: Client, tmp_path: Path) -> None:
    """14 seconds against 4: the frames alone would be 47 MiB more, as bytes.

    The 4 seconds run twice and count once: what the first run of all leaves with the process (buffers of the
    libraries, 24 MiB measured) is no matter of length.
    """
    peaks = {}
    for seconds in (4, 4, 14):
        client.free()
        name = client.upload(talk(tmp_path / f"{seconds}.wav", seconds))
        queued = client.queue(streaming(**{AUDIO: {"audio": name}}))
        assert isinstance(queued, str), queued.text
        peak = 0
        while (ended := client.ended(queued)) is None:
            peak = max(peak, server.rss())
        assert ended.status == SUCCESS, ended.text
        peaks[seconds] = peak
    print({seconds: f"{peak / MIB:.0f} MiB" for seconds, peak in peaks.items()})
    assert peaks[14] - peaks[4] < 25 * MIB
