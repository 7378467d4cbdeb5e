"""Pictures of a mesh from eight sides."""

import numpy as np
import torch

from tests.outputs.test_sights import globe
from unflat.outputs.sides import LEVELS, seen_picture, sides_picture


def test_eight_sides_fill_their_cells() -> None:
    picture = sides_picture(globe(), 40)
    assert picture.shape == (80, 160, 3) and picture.dtype == np.uint8
    there = (picture < 255).any(-1).reshape(2, 40, 4, 40).transpose(0, 2, 1, 3).reshape(8, 40, 40)
    for cell in there:
        assert cell.any(1)[2:-2].mean() > 0.9 and not cell[0].any() and not cell[:, 0].any()


def test_up_is_up() -> None:
    ball = globe()
    ball = ball.__class__(ball.vertices, ball.triangles, colours=(ball.vertices > 0).float()[:, 2:].expand(-1, 3))
    picture = sides_picture(ball, 40)
    assert picture[5, 20].min() > 200 > 50 > picture[33, 20].max()
    assert picture[40 + 20, 80 + 20].min() > 200, "from above"
    assert picture[40 + 20, 120 + 20].max() < 50, "from below"


def test_triangles_have_the_colours_of_their_counts() -> None:
    ball = globe()
    middle = ball.vertices[ball.triangles.long()].mean(1)
    picture = seen_picture(ball, torch.where(middle[:, 2] > 0, 9, 1), 60)
    assert picture.shape[1] == 240 and picture.shape[0] > 120
    red, green = (np.array(colour) for _, said, colour in LEVELS if said in ("1 or 2", "6 or more"))
    for row, colour in ((12, green), (48, red)):
        shown = picture[row, 30] / 255.0
        assert np.allclose(shown / shown.max(), colour / colour.max(), atol=0.03)
    legend = picture[120:]
    for colour in (red, green):
        assert (np.abs(legend - 255 * colour).max(-1) < 1).any()
