"""``segcli models wrap``: an exported file and a card become a model folder.

``measuring`` asks the file what it can be asked (which sides and batches it takes, how many classes it returns).
``asking`` has what it cannot know: that must stand in the card, and nothing is guessed. ``programs`` turns a program of
``torch.export`` into ONNX, once, for somebody who says that they trust it.
"""

from segcli.wrap.asking import ASKED
from segcli.wrap.measuring import Wrapped, wrap

__all__ = ["ASKED", "Wrapped", "wrap"]
