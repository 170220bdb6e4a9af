"""How fast a test set is scored, against scikit-image doing the same in as many threads.

    python benchmarks/metrics.py BSD100 [REPETITIONS]

Scored are the bicubic pictures, from the files on: PSNR, the usual SSIM and, which scikit-image has not, the paper's.
"""

import concurrent.futures
import os
import sys
import time

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srgan_tf.data.folders import find_pairs
from srgan_tf.evaluation import benchmark, metrics
from srgan_tf.imaging.color import luma
from srgan_tf.imaging.resize import upscale_bicubic


def with_skimage(pairs):
    """PSNR and SSIM as the tables have them, by scikit-image."""

    def score(pair):
        hr, lr = benchmark.load_pair(pair)
        cut = np.s_[metrics.SHAVE : -metrics.SHAVE, metrics.SHAVE : -metrics.SHAVE]
        reference, image = luma(hr[cut]), luma(upscale_bicubic(lr)[cut])
        ssim = structural_similarity(
            reference, image, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        return peak_signal_noise_ratio(reference, image, data_range=255), ssim

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(score, pairs))


def with_ours(pairs):
    """All columns but LPIPS."""
    scores, failures = benchmark.score(pairs, {"bicubic": benchmark.BASELINES["bicubic"]})
    assert not failures
    return [(score.psnr, score.ssim) for score in scores]


def main(argv):
    pairs = find_pairs(argv[1])
    repetitions = int(argv[2]) if len(argv) > 2 else 3
    print(f"{os.cpu_count()} cores")
    values = {}
    for name, function in {"ours": with_ours, "scikit-image": with_skimage}.items():
        seconds = []
        for _ in range(repetitions):
            start = time.perf_counter(), time.process_time()
            values[name] = function(pairs)
            seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        wall, processor = map(min, zip(*seconds))
        print(f"{name:13} {wall:6.2f} s, {processor:6.2f} s of processor time, {len(pairs)} pictures")
    difference = np.abs(np.subtract(values["ours"], values["scikit-image"])).max()
    print(f"largest difference of PSNR and SSIM: {difference:.1e}")


if __name__ == "__main__":
    main(sys.argv)
