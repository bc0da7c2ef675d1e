"""Small sound files made on the spot, in every format that the tests read."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


@pytest.fixture
def encode(tmp_path: Path) -> Callable[..., Path]:
    """encode(name, samples [C, n] float32, rate, codec): a sound file in the container that the name tells."""

    def write(name: str, samples: np.ndarray, rate: int, codec: str) -> Path:
        path, layout = tmp_path / name, LAYOUTS[len(samples)]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            stream.codec_context.open()
            context = stream.codec_context
            convert = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
            for part in [*convert.resample(frame), *convert.resample(None), None]:
                for packet in stream.encode(part):
                    container.mux(packet)
        return path

    return write


@pytest.fixture
def tone() -> Callable[..., np.ndarray]:
    """tone(rate, n, channels): float32 [C, n], a different quiet sine in each channel."""

    def make(rate: int, n: int, channels: int = 1) -> np.ndarray:
        hertz = 220.0 * (1 + np.arange(channels))[:, None]
        return (0.5 * np.sin(2 * np.pi * hertz * np.arange(n) / rate)).astype(np.float32)

    return make
