"""Masks and depth beside pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unflat.data.frame_maps import read_depth, read_mask, same_shape
from unflat.data.pictures import PictureError

OF = (6, 4)


def saved(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(values)
    (image if mode is None else image.convert(mode)).save(path)
    return path


KEEP = np.zeros((4, 6), bool)
KEEP[1:, 2:5] = True


@pytest.mark.parametrize("white", [255, 1, 128])
def test_black_is_left_out(tmp_path: Path, white: int) -> None:
    mask = read_mask(saved(tmp_path / "m.png", KEEP.astype(np.uint8) * np.uint8(white)), OF)
    assert mask.dtype == bool and np.array_equal(mask, KEEP)


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA"])
def test_masks_of_other_modes(tmp_path: Path, mode: str) -> None:
    assert np.array_equal(read_mask(saved(tmp_path / "m.png", KEEP.astype(np.uint8) * 255, mode), OF), KEEP)


def test_a_deep_mask_and_a_transparent_one(tmp_path: Path) -> None:
    assert np.array_equal(read_mask(saved(tmp_path / "m.png", KEEP.astype(np.uint16) * 65535), OF), KEEP)
    white = np.full((4, 6, 4), 255, np.uint8)
    white[..., 3] = KEEP * 255
    assert np.array_equal(read_mask(saved(tmp_path / "a.png", white), OF), KEEP)


def test_a_mask_that_leaves_out_everything_and_one_that_leaves_out_nothing(tmp_path: Path) -> None:
    assert not read_mask(saved(tmp_path / "b.png", np.zeros((4, 6), np.uint8)), OF).any()
    assert read_mask(saved(tmp_path / "w.png", np.full((4, 6), 255, np.uint8)), OF).all()


def test_what_is_no_mask_of_the_picture(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"^has a mask, m\.png, that does not exist$"):
        read_mask(tmp_path / "m.png", OF)
    (tmp_path / "m.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"^has a mask, m\.png, that is no picture that Pillow can read$"):
        read_mask(tmp_path / "m.png", OF)
    with pytest.raises(PictureError, match=r"^has a mask, n\.png, of 40x60 pixels beside 6x4$"):
        read_mask(saved(tmp_path / "n.png", np.zeros((60, 40), np.uint8)), OF)


MILLIMETRES = np.array([[0, 1, 2, 3, 4, 65535], [1000] * 6, [0] * 6, [7] * 6], np.uint16)
EXPECTED = np.where(MILLIMETRES == 0, np.nan, MILLIMETRES * 0.001).astype(np.float32)


@pytest.mark.parametrize("name", ["d.png", "d.tif", "d.npy"])
def test_integers_count_in_units(tmp_path: Path, name: str) -> None:
    if name.endswith("npy"):
        np.save(tmp_path / name, MILLIMETRES)
    else:
        saved(tmp_path / name, MILLIMETRES)
    depth = read_depth(tmp_path / name, OF, 0.001)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, EXPECTED, rtol=1e-6)


@pytest.mark.parametrize("name", ["d.tif", "d.npy"])
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits(tmp_path: Path, name: str, kind: type) -> None:
    """Floats are in the unit of the world already."""
    values = (MILLIMETRES.astype(np.int64) * 10).astype(kind)
    if name.endswith("npy"):
        np.save(tmp_path / name, values)
    else:
        saved(tmp_path / name, values)
    unit = 0.001 if kind is np.int32 else 1.0
    np.testing.assert_allclose(
        read_depth(tmp_path / name, OF, 0.001), np.where(values == 0, np.nan, values * unit), rtol=1e-6
    )


def test_what_is_not_known_is_nan(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.tile([1.0, 0.0, -1.0, np.nan, np.inf, 1e300], (4, 1)))
    depth = read_depth(tmp_path / "d.npy", OF, 0.001)
    assert np.isfinite(depth).tolist() == [[True, False, False, False, False, False]] * 4


def test_what_is_no_depth_of_the_picture(tmp_path: Path) -> None:
    saved(tmp_path / "grey.png", np.zeros((4, 6), np.uint8))
    saved(tmp_path / "rgb.png", np.zeros((4, 6, 3), np.uint8))
    np.save(tmp_path / "deep.npy", np.zeros((4, 6, 1)))
    np.save(tmp_path / "text.npy", np.full((4, 6), "a"))
    np.save(tmp_path / "other.npy", np.zeros((40, 6)))
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "deep.npy").read_bytes()[:-9])
    for name, said in {
        "grey.png": r"of uint8 \[4, 6\]; one channel of 16-bit integers or of floats is needed",
        "rgb.png": r"of uint8 \[4, 6, 3\]; one channel",
        "deep.npy": r"of float64 \[4, 6, 1\]; one channel",
        "text.npy": r"of <U1 \[4, 6\]; one channel",
        "other.npy": r"of 6x40 pixels beside 6x4$",
        "pickled.npy": r"that cannot be read \(",
        "cut.npy": r"that cannot be read \(",
        "none.png": r"that cannot be read \(",
    }.items():
        with pytest.raises(PictureError, match=rf"^has (a )?depth, {name}, {said}"):
            read_depth(tmp_path / name, OF, 0.001)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ((990, 742), (990, 742), True),
        ((247, 185), (990, 742), True),
        ((248, 186), (990, 742), True),
        ((495, 371), (990, 742), True),
        ((1008, 756), (4032, 3024), True),
        ((504, 378), (4031, 3023), True),  # cut down to a multiple, or not
        ((742, 990), (990, 742), False),
        ((247, 188), (990, 742), False),
        ((640, 480), (640, 360), False),
        ((641, 480), (640, 480), True),
        ((643, 480), (640, 480), False),
    ],
)
def test_shapes_that_are_the_same_but_for_a_pixel(a: tuple[int, int], b: tuple[int, int], same: bool) -> None:
    assert same_shape(a, b) == same_shape(b, a) == same
