"""`python train.py ...` is `srgan train ...`, and with --pack `srgan pack ...`."""

import sys

from srgan_tf.cli.main import train_script as main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
