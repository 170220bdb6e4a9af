"""`srgan import`: turns another project's generator into a weights file of this one."""

import dataclasses
from pathlib import Path

from srgan_tf.cli.flags import setting
from srgan_tf.system import quiet
from srgan_tf.system.atomic import keep_existing
from srgan_tf.system.errors import UsageError, user_errors
from srgan_tf.system.terminal import say

_HDF5 = b"\x89HDF\r\n\x1a\n"  # its first bytes


@dataclasses.dataclass(frozen=True)
class Settings:
    """Read a generator of TensorLayerX's SRGAN, or of krasserm's super-resolution.

    srgan import g.npz                                 writes g.weights.h5
    srgan import gan_generator.h5 imported.weights.h5
    """

    file: str = setting(
        "",
        "what to read, of either project",
        positional="FILE",
        only_word=True,
        required=True,
        unless=("tensorlayerx", "krasserm"),
    )
    output: str = setting(
        "", "a .weights.h5 to write (empty: of the same name, in the current folder)", positional="OUTPUT"
    )
    tensorlayerx: str = setting("", "FILE, if it is an npz_dict of TensorLayerX's SRGAN")
    krasserm: str = setting("", "FILE, if it is an HDF5 file of krasserm's super-resolution")
    overwrite: bool = setting(False, "replace what exists already")

    def checked(self):
        if self.tensorlayerx and self.krasserm:
            raise UsageError("import reads one file; give either --tensorlayerx or --krasserm")
        source = self.file or self.tensorlayerx or self.krasserm
        output = self.output or f"{Path(source).stem}.weights.h5"
        if not output.endswith(".weights.h5"):
            raise UsageError(f"{output}: the name of a weights file must end in .weights.h5")
        return dataclasses.replace(self, output=output)


def run(settings):
    """Turns another project's generator into a weights file of this one."""
    output = Path(settings.output)
    keep_existing(output, settings.overwrite)
    source = settings.file or settings.tensorlayerx or settings.krasserm
    is_krasserms = bool(settings.krasserm) or (settings.file and _is_hdf5(source))
    quiet.import_tensorflow()
    from srgan_tf.models.generator import describe, save_generator
    from srgan_tf.models.third_party_weights import read_krasserm, read_tensorlayerx

    model = (read_krasserm if is_krasserms else read_tensorlayerx)(source)
    save_generator(model, output)
    what = ", ".join(f"{name} {value}" for name, value in describe(model).items())
    say(f"{output}: {what}; use it with --weights={output}")
    return 0


def _is_hdf5(path):
    with user_errors(path, "cannot be read"), open(path, "rb") as file:
        return file.read(len(_HDF5)) == _HDF5
