"""The script that waits for a GPU runs at small size without one."""

from pathlib import Path

import field_gpu
import pytest
import torch

from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("box")
    for split, views in (("train", 6), ("test", 2)):
        Objects("box", views, 24, split=split).write(folder, progress=False)  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize("method", field_gpu.METHODS)
def test_it_runs_on_a_cpu(box: Path, method: str) -> None:
    words = [str(box), "--device", "cpu", "--experiment", "tiny", "--side", "24", "--minutes", "0.5", "--steps", "2"]
    lines = field_gpu.measured(method, field_gpu.parser().parse_args(words))
    assert {"PSNR", "SSIM", "rays a second"} <= {line.metric for line in lines}
    (rays,) = [line for line in lines if line.metric == "rays a second"]
    assert rays.ours > 0 and all(part in rays.note for part in ("drawing", "forward", "backward", "update"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_without_a_gpu_it_says_how_to_go_on(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        field_gpu.main([str(box)])
    assert "this torch sees no GPU" in capsys.readouterr().err
