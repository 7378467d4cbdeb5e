"""The colour head's sizes are those of the papers."""

import torch

from unflat.fields.colour_head import ColourHead


def inputs(head: ColourHead) -> int:
    return int(head.layers[0].in_features)  # type: ignore[arg-type]


def test_sizes_are_the_papers() -> None:
    assert inputs(ColourHead(12, 0, 4)) == 12 + 27, "DVGO"
    assert inputs(ColourHead(27, 2, 2)) == 150, "TensoRF"
    count = sum(p.numel() for p in ColourHead(27, 2, 2).parameters())
    assert count == 150 * 128 + 128 + 128 * 128 + 128 + 128 * 3 + 3


def test_colours_are_colours_and_depend_on_the_direction(generator: torch.Generator) -> None:
    head = ColourHead(5)
    features = torch.randn(20, 5, generator=generator)
    a, b = (torch.nn.functional.normalize(torch.randn(20, 3, generator=generator), dim=1) for _ in range(2))
    found = head(features, a)
    assert found.shape == (20, 3) and found.min() > 0 and found.max() < 1
    assert not torch.allclose(found, head(features, b))
