"""The first look: what footage is good for is said, and what is good for nothing is refused in one true line."""

import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.personalise.footage import look, verdict
from talkface_core.personalise.settings import Settings
from talkface_core.preparation.source_video import find_videos

SETTINGS = Settings(least=1.0)


def test_what_footage_is_good_for(film):
    path, detector = film(frames=75)
    found = look(find_videos([path]), detector, SETTINGS)
    assert found.seconds == pytest.approx(3.0)
    assert (found.none, found.several, found.shots, found.rate) == (0, 0, 0, 25)
    assert 2 < found.loud <= 3
    assert 60 < found.face_px < 192
    lines = verdict(found)
    assert [line.partition(":")[0] for line in lines] == ["length", "face", "light", "picture", "camera"]
    assert "one shot" in lines[4]


def test_other_pictures_are_seen(film):
    path, detector = film(frames=75, where=lambda k: {"scene": k // 25})
    assert look(find_videos([path]), detector, SETTINGS).shots == 2


def test_too_short_footage(film):
    path, detector = film(frames=30)
    with pytest.raises(InputError, match=r"1\.2 s of footage in film\.mp4; 10 s are the least"):
        look(find_videos([path]), detector, Settings())


def test_no_sound(film):
    path, detector = film(frames=30, sound=None)
    with pytest.raises(InputError, match="no sound"):
        look(find_videos([path]), detector, SETTINGS)


def test_silent_sound(film):
    path, detector = film(frames=30, sound=np.zeros(19200, np.float32))
    with pytest.raises(InputError, match="nobody is heard"):
        look(find_videos([path]), detector, SETTINGS)


def test_no_face(film):
    path, detector = film(frames=30, where=lambda k: {"shown": False})
    with pytest.raises(InputError, match="no face"):
        look(find_videos([path]), detector, SETTINGS)


def test_several_people_unless_one_is_named(film):
    path, detector = film(frames=30)
    for faces in detector.faces.values():
        faces.append(faces[0] * 0.9 + np.float32([200, 0]))
    with pytest.raises(InputError, match=r"several people.*--face largest"):
        look(find_videos([path]), detector, SETTINGS)
    assert look(find_videos([path]), detector, Settings(least=1.0, face="0")).several == 1


def test_dark_footage(film):
    path, detector = film(frames=30, change=lambda picture, k: np.concatenate([picture[:8], picture[8:] // 8]))
    with pytest.raises(InputError, match="dark"):
        look(find_videos([path]), detector, SETTINGS)


def test_a_number_that_nobody_has(film):
    path, detector = film(frames=30)
    assert look(find_videos([path]), detector, Settings(least=1.0, face="0")).none == 0
    with pytest.raises(InputError, match=r"face 1 from the left.* at most 1 at once .*give 0 or less"):
        look(find_videos([path]), detector, Settings(least=1.0, face="1"))
