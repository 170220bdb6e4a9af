"""`python -m srgan_tf` is the command `srgan`."""

import sys

from srgan_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["srgan", *sys.argv[1:]]))
