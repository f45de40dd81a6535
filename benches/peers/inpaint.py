"""PSNR of scikit-image's biharmonic inpainting on the masks that the example `inpaint` wrote.

    pip install -r benches/peers/requirements.txt
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

# As the example reads pictures: grey or in three colours, without transparency, of 8 bits.
whole = skimage.io.imread(arguments.image)
if whole.ndim == 3:
    whole = whole[..., :3] if whole.shape[-1] >= 3 else whole[..., 0]
if whole.dtype == np.uint16:
    whole = whole >> 8
if whole.dtype != np.uint8:
    parser.error(f"{arguments.image}: pixels are {whole.dtype}, expected 8 or 16 bits")
whole = whole.astype(float)
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
