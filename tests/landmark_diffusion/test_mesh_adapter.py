"""The way from a track's 68 points to the mesh's 131 and back, and the published layout on tracks."""

from dataclasses import replace

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.completion import CompletionConfig, LandmarkCompletion
from talkface_core.landmark_diffusion.landmarks import IBUG_68, MESH_131
from talkface_core.landmark_diffusion.mesh_adapter import FROM_MESH, TO_MESH, motion_from_mesh, to_mesh
from tests.landmark_diffusion.small_completion import face


def faces(count: int) -> torch.Tensor:
    """Faces [count,68,2] that turn a little and whose mouths open."""
    points = face(torch.linspace(0.01, 0.06, count), torch.linspace(-0.2, 0.2, count)).double()
    return points.reshape(count, 68, 2)


def test_what_moves_a_face_moves_its_mesh():
    points = faces(3)
    turned = points @ torch.tensor([[1.5, 0.4], [-0.4, 1.5]], dtype=torch.float64) + torch.tensor([3.0, -2.0])
    expected = to_mesh(points) @ torch.tensor([[1.5, 0.4], [-0.4, 1.5]], dtype=torch.float64) + torch.tensor(
        [3.0, -2.0]
    )
    # Weights have three digits, so they sum to 1 within their rounding.
    torch.testing.assert_close(to_mesh(turned), expected, atol=0.02, rtol=0)
    assert (len(TO_MESH), len(FROM_MESH)) == (MESH_131.count, len(IBUG_68.content))
    for table in (TO_MESH, FROM_MESH):
        assert all(abs(sum(row[3:]) - 1) < 0.003 for row in table)


def test_the_mesh_lies_where_the_face_does():
    points = faces(1)[0]
    mesh = to_mesh(points)
    low, high = points.amin(0), points.amax(0)
    assert ((mesh > low - 0.1) & (mesh < high + 0.1)).all()
    # Corners of the mouth, right and left, and of the eyes, by their places in the mesh's own numbers.
    for place, own in ((91, 48), (101, 54), (42, 36), (66, 45)):
        assert (mesh[place] - points[own]).norm() < 0.12 * (points[45] - points[36]).norm()


def test_the_pose_is_told_by_the_pose_alone():
    points = faces(2)
    moved = points.clone()
    moved[:, list(IBUG_68.content)] += 1
    pose = list(MESH_131.pose)
    assert torch.equal(to_mesh(points)[:, pose], to_mesh(moved)[:, pose])
    assert not torch.equal(to_mesh(points), to_mesh(moved))


def test_motion_goes_back():
    """Lips that part in the mesh part in the track."""
    motion = torch.zeros(1, len(MESH_131.content), 2)
    lower = [k for k, place in enumerate(MESH_131.content) if place in [pair[1] for pair in MESH_131.gaps]]
    motion[:, lower, 1] = 0.1
    moved = motion_from_mesh(motion)
    places = [list(IBUG_68.content).index(k) for k in (66, 62)]
    assert moved[0, places[0], 1] > 0.05
    assert moved[0, places[1], 1].abs() < 0.03


def test_the_published_layout_takes_and_gives_tracks():
    config = CompletionConfig(
        landmarks="mesh131", published=True, width=32, ff=32, blocks=1, frames=5, boxed=True, track="ibug68"
    )
    torch.manual_seed(0)
    net = LandmarkCompletion(config).eval()
    assert net.landmarks is IBUG_68
    points = faces(9).float()[None]
    windows, landmarks, references = torch.randn(1, 5, 80, 16), points[:, :5], points[:, 5:]
    made = net(windows, landmarks, references)
    assert made.shape == (1, 5, 68, 2)
    pose, content = list(IBUG_68.pose), list(IBUG_68.content)
    assert torch.equal(made[:, :, pose], landmarks[:, :, pose])
    assert not torch.allclose(made[:, :, content], landmarks[:, :, content], atol=1e-3)
    # What is moved is the track's own mouth at rest, by what the same network makes of the mesh.
    plain = LandmarkCompletion(replace(config, track=""))
    plain.load_state_dict(net.state_dict())
    motion, _ = plain.eval().motion(windows, to_mesh(landmarks), to_mesh(references))
    moved, rest = net.motion(windows, landmarks, references)
    torch.testing.assert_close(moved, motion_from_mesh(motion))
    torch.testing.assert_close(made[:, :, content], (rest + moved)[:, :, :])
    other = landmarks.clone()
    other[:, :, content] += 0.2
    assert torch.equal(net(windows, other, references)[:, :, content], made[:, :, content])


@pytest.mark.parametrize("changes", [{"track": "mesh131"}, {"landmarks": "ibug68"}, {"published": False}])
def test_there_is_no_other_way(changes):
    config = CompletionConfig(landmarks="mesh131", published=True, width=32, ff=32, blocks=1, track="ibug68")
    with pytest.raises(InputError, match="no way"):
        replace(config, **changes)
