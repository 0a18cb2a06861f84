"""A contestant: ``segcli predict`` as it is, in a process that is already warm."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from contest import serve

from segcli.cli.main import run


def main(settings: dict[str, Any]) -> None:
    output = Path(settings["output"])

    def work() -> dict[str, Any]:
        command = ["predict", *settings["inputs"], "-m", settings["model"], "-o", str(output), "-q", "--no-progress"]
        code = run([*command, *settings["options"]])
        if code != 0:
            raise SystemExit(f"segcli ended with {code}")
        cases = json.loads((output / "report.json").read_text(encoding="utf-8"))["cases"]
        network = sum(sum(v for k, v in case["seconds"].items() if k not in ("read", "write")) for case in cases)
        tiles = sum(case["tiles"] for case in cases)
        return {"network": network, "tiles": tiles, "gated": sum(case["tiles_gated"] for case in cases)}

    def afresh() -> dict[str, Any]:
        answer = work()
        kept = Path(f"{output}_kept")
        shutil.rmtree(kept, ignore_errors=True)
        output.rename(kept)
        return answer

    shutil.rmtree(output, ignore_errors=True)
    serve(afresh, settings["threads"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
