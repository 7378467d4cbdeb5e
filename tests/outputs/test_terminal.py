"""Pictures as text."""

import numpy as np

from unflat.outputs.terminal import as_text


def test_a_character_shows_two_pixels() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[0], picture[1], picture[2:] = (255, 0, 0), (0, 0, 255), (10, 20, 30)
    text = as_text(picture, columns=6, rows=8)
    lines = text.split("\n")
    assert [line.plain for line in lines] == ["\u2580" * 6] * 2
    styles = {str(span.style) for span in lines[0].spans}
    assert styles == {"#ff0000 on #0000ff"}
    assert {str(span.style) for span in lines[1].spans} == {"#0a141e on #0a141e"}


def test_the_shape_is_kept_within_so_many_characters() -> None:
    wide, tall = (as_text(np.zeros(shape, np.uint8), columns=40, rows=20) for shape in ((50, 100, 3), (300, 10, 3)))
    assert [len(wide.split("\n")), len(wide.split("\n")[0])] == [10, 40]
    assert [len(tall.split("\n")), len(tall.split("\n")[0])] == [20, 1]
