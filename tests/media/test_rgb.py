"""Geometry and colour of films as people have them: shown as a player shows them, or said."""

import io
import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from talkface_core.media import rgb
from talkface_core.media.hdr import HLG, PEAK, PQ, WHITE, ToSDR, bent, hlg_to_scene, light_to_pq, pq_to_light
from talkface_core.media.picture_track import PictureTrack
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import VideoWriter

GREYS = np.linspace(0, 1, 33)


def test_curves_against_published_values():
    """SMPTE ST 2084 and ITU-R BT.2100: codes of well-known amounts of light."""
    assert np.allclose(light_to_pq(np.array([0.0, 100, 203, 1000, 10000])), [0, 0.508, 0.581, 0.752, 1], atol=1e-3)
    light = np.array([0.01, 1, 50, 203, 1000, 9000])
    assert np.allclose(pq_to_light(light_to_pq(light)), light, rtol=1e-3)
    assert np.allclose(hlg_to_scene(np.array([0.0, 0.5, 0.75, 1.0])), [0, 1 / 12, 0.265, 1], atol=1e-3)


def test_the_bend_keeps_the_dark_and_ends_at_white():
    light = np.linspace(0, PEAK, 1000)
    out = bent(light)
    assert np.allclose(out[light < 40], light[light < 40], rtol=1e-3)
    assert out[-1] == pytest.approx(WHITE, rel=1e-3)
    assert (np.diff(out) > -1e-6).all()


@pytest.mark.parametrize("transfer", [PQ, HLG, 1])
def test_greys_stay_grey_and_in_order(transfer):
    greys = (np.repeat(GREYS[None, :, None], 3, 2) * 65535).astype(np.uint16)
    out = ToSDR(transfer)(greys)[0].astype(int)
    assert np.ptp(out, axis=-1).max() <= 1
    assert (np.diff(out[:, 0]) >= 0).all()
    assert out[0, 0] == 0
    assert out[-1, 0] == 255


def test_reference_white_of_hdr_is_bright_and_not_burnt():
    pq = round(float(light_to_pq(np.array(WHITE))) * 65535)
    for transfer, code in ((PQ, pq), (HLG, round(0.75 * 65535))):
        assert 215 < ToSDR(transfer)(np.full((1, 1, 3), code, np.uint16))[0, 0, 0] < 245


def test_colours_of_wide_films_are_those_of_709():
    """A colour of BT.709 written in BT.2020 comes back."""
    wide = np.linalg.inv([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    colours = np.random.default_rng(0).uniform(0.05, 0.95, (1, 64, 3))
    codes = ((colours**2.4) @ wide.T).clip(0, 1) ** (1 / 2.4)
    out = ToSDR(1)((codes * 65535).round().astype(np.uint16))
    assert np.abs(out - 255 * colours).max() < 3


def write(path: Path, frames: list[np.ndarray], codec: str, format: str, source: str = "rgb24", **options) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options.pop("options", {}))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = format
        for name, value in options.items():
            setattr(stream.codec_context, name, value)
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, source)))
        container.mux(stream.encode(None))
    return path


def test_an_hdr_film_is_told_of_once(tmp_path, caplog):
    grey = np.full((64, 64, 3), 148, np.uint8)  # PQ's code of 203 cd/m2
    options = {"color_trc": PQ, "color_primaries": 9, "colorspace": 9}
    path = write(tmp_path / "a.mp4", [grey] * 3, "libx264", "yuv420p10le", **options)
    with caplog.at_level(logging.WARNING):
        reader = VideoReader(path)
        frames = np.concatenate([*reader.steady(25), *reader.steady(25)])
    assert 215 < frames.mean() < 245
    assert sum("is HDR" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("name", "codec", "format"), [("a.mov", "prores_ks", "yuva444p10le"), ("a.png", "png", "rgba")]
)
def test_what_is_transparent_is_laid_on_white(tmp_path, name, codec, format, caplog):
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[..., 0] = picture[..., 2] = 255  # magenta, to be seen in the upper half only
    picture[:32, :, 3] = 255
    if name == "a.png":
        import cv2

        cv2.imwrite(str(tmp_path / name), picture)
        path = (tmp_path / name).rename(tmp_path / "a.mp4")
    else:
        path = write(tmp_path / name, [picture], codec, format, "rgba")
    frame = next(VideoReader(path).chunks())[0].astype(int)
    assert np.abs(frame[:24] - [255, 0, 255]).max() < 12
    assert np.abs(frame[40:] - 255).max() < 6


def test_the_shape_of_pixels_is_kept_and_undone(tmp_path):
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 64, 48, 25, pixel_aspect=Fraction(64, 45)) as writer:
        writer.write(np.full((3, 48, 64, 3), 90, np.uint8))
    reader = VideoReader(path)
    assert (reader.width, reader.height, reader.pixel_aspect) == (64, 48, Fraction(64, 45))
    square = VideoReader(path, square=True)
    assert (square.width, square.height, square.pixel_aspect) == (91, 48, 1)
    assert next(square.chunks()).shape == (3, 48, 91, 3)


def test_fields_are_joined(tmp_path, caplog):
    """A bar that moves: of two moments in one frame no comb remains."""

    def moment(k: int) -> np.ndarray:
        picture = np.full((64, 96, 3), 40, np.uint8)
        picture[:, 4 * k : 4 * k + 16] = 220
        return picture

    frames = []
    for k in range(8):
        frame = moment(2 * k)
        frame[1::2] = moment(2 * k + 1)[1::2]
        frames.append(frame)
    path = write(tmp_path / "a.mp4", frames, "libx264", "yuv420p", options={"crf": "4", "x264-params": "tff=1"})
    joined = np.concatenate(list(VideoReader(path).chunks())).astype(int)
    assert len(joined) == 8
    comb = lambda film: np.abs(film[2:-2, 4:-4] * 2 - film[2:-2, 3:-5] - film[2:-2, 5:-3]).mean()  # noqa: E731
    assert comb(joined[..., 0]) < 0.35 * comb(np.stack(frames)[..., 0].astype(int))


def test_the_left_edge_is_cropped_as_the_stream_says(tmp_path):
    """H.264's cropping need not be a multiple of anything; players honour it to the pixel."""
    picture = np.full((64, 96, 3), 60, np.uint8)
    picture[:, :10] = 240
    path = write(
        tmp_path / "a.mp4",
        [picture] * 3,
        "libx264",
        "yuv420p",
        options={"crf": "4", "x264-params": "crop-rect=10,0,6,0"},
    )
    reader = VideoReader(path)
    assert (reader.width, reader.height) == (80, 64)
    assert next(reader.chunks())[0][:, :4].mean() < 90


@pytest.mark.parametrize("size", [(50, 38), (63, 47)])
@pytest.mark.parametrize("format", ["yuv420p", "yuvj420p", "nv12", "yuv422p", "yuv444p", "yuv420p10le", "gray"])
def test_the_quick_way_gives_the_same_bytes(size, format, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format=format)
    quick = rgb.RGBConverter(*size)(frame)
    monkeypatch.setattr(rgb, "_QUICK", ())
    assert np.array_equal(quick, rgb.RGBConverter(*size)(frame))


def test_frames_are_encoded_of_the_same_bytes_as_pixels_side_by_side():
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        track = PictureTrack(container, 50, 37, Fraction(25))
        noise = np.random.default_rng(0).integers(0, 256, (38, 50, 3), np.uint8)
        colours = {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}
        wanted = av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format="yuv420p", **colours)
        for picture in (noise, noise[::-1].copy()[::-1]):
            made = zip(rgb.planes_of(track._frame(picture)), rgb.planes_of(wanted), strict=True)
            assert all(np.array_equal(*planes) for planes in made)
        track.write(noise[None, :37])
