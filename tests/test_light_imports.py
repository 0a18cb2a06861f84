import subprocess
import sys

import pytest

HEAVY = ("torch", "pydicom", "SimpleITK", "highdicom", "nibabel", "tifffile")


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["models", "list"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments):
    code = (
        "import sys\nfrom segcli.cli.main import run\n"
        f"status = run({arguments!r})\n"
        f"print('heavy', [name for name in {HEAVY!r} if name in sys.modules])\nsys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "heavy []" in result.stdout
