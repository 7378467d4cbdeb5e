"""Rotations and rigid motions: axioms, elementary turns, and the inverse of each function."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unflat.geometry.rotations import Rigid, euler_from_rotation, rotation_from_euler, turned

angles = st.tuples(*[st.floats(-math.pi, math.pi)] * 3)


def rigid(seed: int, batch: int = 4) -> Rigid:
    generator = torch.Generator().manual_seed(seed)
    turns = torch.rand(batch, 3, generator=generator, dtype=torch.float64) * 6 - 3
    return Rigid(rotation_from_euler(turns), torch.randn(batch, 3, generator=generator, dtype=torch.float64))


def points(batch: int = 4) -> Tensor:
    return torch.randn(batch, 7, 3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


@pytest.mark.parametrize(
    ("turn", "start", "end"),
    [
        ((90, 0, 0), (0, 1, 0), (0, 0, 1)),  # about x: y to z
        ((0, 90, 0), (0, 0, 1), (1, 0, 0)),  # about y: z to x
        ((0, 0, 90), (1, 0, 0), (0, 1, 0)),  # about z: x to y
        ((90, 90, 0), (0, 1, 0), (1, 0, 0)),  # about x first, then about y
        ((0, 90, 90), (0, 0, 1), (0, 1, 0)),  # about y first, then about z
    ],
)
def test_elementary_turns_are_right_handed_and_in_order(turn: tuple, start: tuple, end: tuple) -> None:
    rotation = rotation_from_euler(torch.tensor(turn).float().deg2rad())
    assert torch.allclose(rotation @ torch.tensor(start).float(), torch.tensor(end).float(), atol=1e-6)


@given(angles)
def test_a_rotation_is_orthogonal_and_keeps_handedness(turn: tuple[float, float, float]) -> None:
    rotation = rotation_from_euler(torch.tensor(turn, dtype=torch.float64))
    assert torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert float(torch.det(rotation)) == pytest.approx(1)


@given(angles)
def test_angles_come_back(turn: tuple[float, float, float]) -> None:
    """As a rotation always, and as the same numbers while yaw is within a quarter turn."""
    given_angles = torch.tensor(turn, dtype=torch.float64)
    rotation = rotation_from_euler(given_angles)
    back = euler_from_rotation(rotation)
    assert torch.allclose(rotation_from_euler(back), rotation, atol=1e-6)
    if abs(turn[1]) < math.radians(89) and abs(turn[0]) < 3.14 and abs(turn[2]) < 3.14:
        assert torch.allclose(back, given_angles, atol=1e-9)


def test_turned_is_the_matrix_product_and_broadcasts() -> None:
    matrix = torch.randn(4, 3, 3, dtype=torch.float64)
    assert torch.allclose(turned(matrix, points()), points() @ matrix.transpose(-1, -2))
    assert torch.allclose(turned(matrix[0], points()), points() @ matrix[0].T)
    assert torch.allclose(turned(matrix, points()[0]), points()[0] @ matrix.transpose(-1, -2))


def test_motions_follow_one_another_and_undo_one_another() -> None:
    c_from_b, b_from_a = rigid(0), rigid(1)
    assert torch.allclose((c_from_b @ b_from_a).apply(points()), c_from_b.apply(b_from_a.apply(points())))
    assert torch.allclose(b_from_a.inverse.apply(b_from_a.apply(points())), points())
    nothing = b_from_a @ b_from_a.inverse
    assert torch.allclose(nothing.rotation, torch.eye(3, dtype=torch.float64).expand(4, 3, 3), atol=1e-12)
    assert torch.allclose(nothing.translation, torch.zeros(4, 3, dtype=torch.float64), atol=1e-12)


def test_directions_turn_and_do_not_move() -> None:
    motion = rigid(2)
    difference = motion.apply(points()) - motion.apply(torch.zeros(4, 1, 3, dtype=torch.float64))
    assert torch.allclose(motion.turn(points()), difference)


def test_a_turn_about_a_point_leaves_it_where_the_shift_puts_it() -> None:
    centre = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    shift = torch.tensor([[0.01, -0.02, 0.03]], dtype=torch.float64)
    turn = rotation_from_euler(torch.tensor([[0.5, 0.6, 0.7]], dtype=torch.float64))
    motion = Rigid.about(centre, turn, shift)
    assert torch.allclose(motion.apply(centre.view(1, 1, 3))[0], centre + shift)
    offset = torch.tensor([[[0.1, 0.2, 0.3]]], dtype=torch.float64)
    assert torch.allclose(motion.apply(centre + offset), turned(turn, offset) + centre + shift[:, None])


def test_a_batch_of_motions_is_indexed_like_a_tensor() -> None:
    motion = rigid(3)
    assert torch.equal(motion[2].apply(points()[2]), motion.apply(points())[2])
    assert torch.equal(motion[1:3].translation, motion.translation[1:3])


def test_gradients_of_angles_are_those_of_finite_differences() -> None:
    turn = torch.tensor([[0.3, -0.5, 0.8]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_from_euler, (turn,))
