"""Where things are: all scripts run in a folder of their own, which holds dl/, corpus/, acts and runs/."""
import os

LAYER = int(os.environ.get("LAYER", "15"))  # the block after which activations are read
ACTS = f"./acts{LAYER}"
CLIP = 3.0  # rows beyond so many median norms are massive
