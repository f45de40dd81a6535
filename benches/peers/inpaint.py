"""PSNR of scikit-image's biharmonic inpainting on the masks that the example `inpaint` wrote.

    pip install scikit-image==0.26.0
    cargo run --release --example inpaint -- --text --out out
    python benches/peers/inpaint.py out
"""

import argparse
import pathlib
import time

import numpy as np
import skimage.io
import skimage.metrics
import skimage.restoration

ROOT = pathlib.Path(__file__).parents[2]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("out", type=pathlib.Path, help="the folder with NAME-mask.png")
parser.add_argument("--image", type=pathlib.Path, default=ROOT / "data" / "camera256.png")
arguments = parser.parse_args()

whole = skimage.io.imread(arguments.image).astype(float)
for path in sorted(arguments.out.glob("*-mask.png")):
    missing = skimage.io.imread(path) == 0
    holes = whole.copy()
    holes[missing] = 0
    start = time.perf_counter()
    axis = -1 if whole.ndim == 3 else None
    filled = skimage.restoration.inpaint_biharmonic(holes, missing, channel_axis=axis)
    seconds = time.perf_counter() - start
    # As the example counts: values within 0 to 255, not rounded.
    filled = np.clip(filled, 0, 255)
    psnr = skimage.metrics.peak_signal_noise_ratio(whole, filled, data_range=255)
    name = path.name.removesuffix("-mask.png")
    print(f"{name:12} {100 * (~missing).mean():5.1f} % known  {psnr:5.2f} dB  {seconds:6.1f} s")
