"""Distributions as pip would leave them on the path, with plugins nobody wants as neighbours."""

from __future__ import annotations

import textwrap
from pathlib import Path

OBJECT = """
class Plugin:
    api, name, summary = 1, "{name}", "a toy"
    def example(self): ...
    def build(self, card): ...
    def default(self): return None

plugin = Plugin()
"""

BROKEN = "raise SystemExit('no licence for \\x1b[31myou')"

NOISY = """
import logging, os, sys
print("welcome to noisy", flush=True)
sys.stderr.write("warming up")
os.write(1, b"from below")
logging.basicConfig()  # keeps the stream it finds
""" + OBJECT.format(name="noisy")

HOSTILE = """
import locale, multiprocessing, os, random, signal, sys, warnings
import numpy
import torch
torch.set_num_threads(torch.get_num_threads() + 3)
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)
torch.set_float32_matmul_precision("medium")
torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = True
torch.set_autocast_enabled("cpu", True)
torch.set_flush_denormal(True)
torch.manual_seed(13)
random.seed(13)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: None)
os.environ["LD_PRELOAD"] = "/nonexistent.so"
os.chdir("/")
sys.excepthook = print
sys.path.insert(0, "/nowhere")
sys.setrecursionlimit(sys.getrecursionlimit() + 100)
os.umask(0o027 if os.umask(0) != 0o027 else 0o022)
warnings.simplefilter("ignore")
warnings.simplefilter("error", UserWarning)
multiprocessing.set_start_method("spawn" if multiprocessing.get_start_method(True) == "fork" else "fork", force=True)
numpy.random.seed(13)
numpy.seterr(all="raise")
locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C")
""" + OBJECT.format(name="hostile")

INTERRUPTS = "raise KeyboardInterrupt"

NAMELESS_ERROR = """
class Silent(BaseException):
    def __str__(self):
        raise ValueError
raise Silent
"""

QUITS = """
import os
try:
    os._exit(0)  # as if all were done
except BaseException:
    import posix
    posix._exit(0)
"""

BECOMES_ANOTHER = "import os; os.execvp('true', ['true'])"

MUTE = """
class Mute(Exception):
    def __str__(self):
        raise SystemExit(0)
raise Mute
"""

ABANDONS = "raise GeneratorExit"

QUITS_LATER = """
import os, threading
timer = threading.Timer(1, lambda: os._exit(0))
timer.daemon = True
timer.start()
""" + OBJECT.format(name="later")

LEAVES_WHEN_ASKED = """
import sys
""" + OBJECT.format(name="leaves").replace("def example(self): ...", "def example(self): sys.exit(0)")


def install(site: Path, **sources: str) -> None:
    """A module and a ``.dist-info`` with the entry point ``name`` for every source."""
    for name, source in sources.items():
        (site / f"{name}_toy.py").write_text(textwrap.dedent(source))
        info = site / f"{name}_toy-2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-toy\nVersion: 2.1\n")
        (info / "entry_points.txt").write_text(f"[segcli.models]\n{name} = {name}_toy:plugin\n")
