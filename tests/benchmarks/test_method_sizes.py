"""The script that counts what methods say themselves and find in the core."""

import method_sizes
import pytest

from unflat import catalogue


def test_only_code_counts() -> None:
    source = (
        '"""Says."""\n\n# why\nfirst = 1\n\n\ndef second() -> str:\n    """Says."""\n    return """of\ntwo lines"""\n'
    )
    assert method_sizes.code_lines(source) == 4


def test_what_is_needed_is_found_through_others_and_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    names = {path.stem for path in method_sizes.needed(catalogue.find("quick_grid").path)}
    assert {"voxel_march", "voxel_march_cpu", "voxel_march_gpu", "walking", "kinds"} <= names
    assert "tensorf" not in names
    method_sizes.main([])
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [e.name for e in catalogue.methods() if e.family == "radiance"]
