"""The script that measures the checks of captures: its mistakes are told from the capture as it is."""

import capture_checks

from unflat.data.picture_checks import FILLED, check_pictures
from unflat.worlds.objects import Objects


def test_the_mistakes_are_told() -> None:
    box = Objects("box", 16, 48).capture(progress=False)
    found = {mistake: check_pictures(made(box)).figures for mistake, made in capture_checks.MISTAKES.items()}
    filled = {mistake: figures["silhouettes that the visual hull fills"] for mistake, figures in found.items()}
    assert filled["as it is"] > FILLED
    assert filled["shuffled"] < FILLED
    assert filled["y and z negated"] < FILLED
    # a box is nearly its own mirror image, but for the paint
    assert found["mirrored"]["colours agree at depth"] < found["as it is"]["colours agree at depth"] - 0.2
