"""Pictures in a terminal: two pixels a character, one above the other, in 24-bit colours."""

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, ROWS = 40, 20
"""characters that a picture takes at most"""


def shows_pictures(console: Console) -> bool:
    """Whether a terminal has the character and colours enough."""
    colours = console.color_system in ("256", "truecolor") and not console.no_color
    return colours and not console.options.ascii_only and not console.legacy_windows


def as_text(picture: np.ndarray, columns: int = COLUMNS, rows: int = ROWS) -> Text:
    """A picture, uint8 [h, w, 3], as text of at most so many characters, its shape kept."""
    height, width = picture.shape[:2]
    scale = min(columns / width, 2 * rows / height)
    across, down = max(1, round(width * scale)), max(2, 2 * round(height * scale / 2))
    small = np.asarray(Image.fromarray(picture).resize((across, down), Image.Resampling.BOX))
    text = Text(no_wrap=True)
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append("\u2580", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        text.append("\n")
    text.right_crop(1)
    return text
