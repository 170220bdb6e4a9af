"""How fast a test set is scored, against scikit-image doing the same in as many threads.

    python benchmarks/metrics.py BSD100 [REPETITIONS]

Scored are the bicubic pictures, from the files on: PSNR, Wang's SSIM and, which scikit-image has not, daala's.
"""

import concurrent.futures
import operator
import os
import statistics
import sys
import time

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srgan_tf.data.folders import find_pairs
from srgan_tf.evaluation import benchmark, metrics
from srgan_tf.evaluation.picture_sets import PictureSet, load_pair
from srgan_tf.imaging.color import luma
from srgan_tf.imaging.resize import upscale_bicubic


def with_skimage(pairs):
    """PSNR and SSIM as the tables have them, by scikit-image."""

    def score(pair):
        hr, lr = load_pair(pair)
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
    picture_set = PictureSet("", tuple(pairs))
    scored = benchmark.score_set(picture_set, {"bicubic": benchmark.BASELINES["bicubic"]})
    assert not scored.failures
    return [(score["psnr"], score["ssim"]) for score in scored.scores]


def main(argv):
    if not 2 <= len(argv) <= 3:
        sys.exit("usage: python benchmarks/metrics.py FOLDER [REPETITIONS]    (a test set; 7)")
    pairs = find_pairs(argv[1])
    repetitions = int(argv[2]) if len(argv) > 2 else 7
    programs = {"ours": with_ours, "scikit-image": with_skimage}
    values = {name: program(pairs) for name, program in programs.items()}  # which also warms them up
    seconds = {name: [] for name in programs}
    for _ in range(repetitions):
        for name, program in programs.items():
            start = time.perf_counter()
            program(pairs)
            seconds[name].append(time.perf_counter() - start)
    print(f"{len(pairs)} pictures, {os.cpu_count()} cores, medians of {repetitions}, interleaved")
    for name, taken in seconds.items():
        print(f"{name:13} {statistics.median(taken):6.2f} s")
    ratio = statistics.median(map(operator.truediv, seconds["ours"], seconds["scikit-image"]))
    print(f"ours takes {ratio:.2f} times as long, and scores daala's SSIM, too")
    difference = np.abs(np.subtract(values["ours"], values["scikit-image"])).max()
    print(f"largest difference of PSNR and SSIM: {difference:.1e}")


if __name__ == "__main__":
    main(sys.argv)
