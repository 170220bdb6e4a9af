"""`srgan export`: writes a network for other software."""

import dataclasses
import re
from pathlib import Path

from srgan_tf.cli.flags import AUTO, setting, unless_auto
from srgan_tf.cli.shared import BLENDED_NOTE, ONE_WEIGHTS_HELP, STRENGTH_HELP, TOWARD_HELP, check_dial, one_weights
from srgan_tf.evaluation.systems import say_if_emulated
from srgan_tf.inference.export_formats import MAX_MEGAPIXELS, PRECISIONS, SUFFIXES
from srgan_tf.system import quiet
from srgan_tf.system.atomic import keep_existing
from srgan_tf.system.errors import UsageError, UserError
from srgan_tf.system.terminal import say

FORMATS = (*SUFFIXES, "keras", "tensorlayerx")
# Any other name is the folder of a SavedModel.
ENDINGS = {suffix: name for name, suffix in SUFFIXES.items() if suffix} | {".keras": "keras", ".npz": "tensorlayerx"}
_FILE_ENDING = re.compile(r"\.(?!v\d)[a-z]\w*")  # .h5 or .onxx, but not that of model.v2 or model-1.5
TENSORLAYERX = "load_weights(..., format='npz_dict')"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Write a network for other software, checked there against Keras.

    srgan export srgan exported
    srgan export runs/default/srgan/generator.weights.h5 generator.onnx
    srgan export srgan srgan.tflite --precision=float16
    srgan export srgan srgan.keras                          the Keras model with its layers, also for --weights
    srgan export srresnet exported --toward=srgan --strength=0.5
    """

    weights: str = setting("", ONE_WEIGHTS_HELP, positional="WEIGHTS", required=True)
    output: str = setting("", "a file, or the folder of a SavedModel", positional="OUTPUT", required=True)
    format: str = setting(
        AUTO,
        "format of the output (auto: as the name of the output says, .onnx, .tflite, .keras or .npz; else savedmodel)",
        choices=(AUTO, *FORMATS),
    )
    precision: str = setting(
        "float32",
        "number format: float16 for the weights of a LiteRT model; bfloat16 for the arithmetic of a SavedModel, on CPUs"
        " with AMX or AVX512_BF16",
        choices=tuple(PRECISIONS),
    )
    strength: float = setting(AUTO, f"{STRENGTH_HELP} (auto: the network of WEIGHTS)", lower=0, upper=1)
    toward: str = setting("", TOWARD_HELP, once=True)
    max_megapixels: float = setting(
        AUTO,
        f"megapixels that a result of a SavedModel may have; larger requests fail (auto: {MAX_MEGAPIXELS:g})",
        lower=1,
    )
    overwrite: bool = setting(False, "replace what exists already")

    def checked(self):
        ending = Path(self.output).suffix
        named = ENDINGS.get(ending.lower())
        if self.format == AUTO and not named and _FILE_ENDING.fullmatch(ending.lower()):
            raise UsageError(
                f"{self.output}: no format ends in {ending}; take {', '.join(ENDINGS)}, or --format=savedmodel for a"
                " folder of this name"
            )
        kind = unless_auto(self.format) or named or "savedmodel"
        if named not in (None, kind):
            raise UsageError(f"{self.output}: named as {named}, but --format={kind}; change one or leave --format out")
        if kind == "keras" and Path(self.output).suffix != ".keras":
            raise UsageError(f"{self.output}: the name of a whole Keras model must end in .keras")
        only = PRECISIONS[self.precision]
        if only not in (None, kind):
            raise UsageError(f"--precision={self.precision} is for --format={only}, not {kind}; leave it out")
        check_dial(self, self.weights, unless_auto(self.strength))
        if self.max_megapixels != AUTO and kind != "savedmodel":
            raise UsageError(f"--max_megapixels is for --format=savedmodel, not {kind}; leave it out")
        return dataclasses.replace(self, format=kind)


def run(settings):
    """Writes a generator for other software."""
    name, path = one_weights(settings.weights)
    quiet.import_tensorflow()
    from srgan_tf.inference.export import export
    from srgan_tf.models.third_party_weights import write_tensorlayerx
    from srgan_tf.models.whole_model import write_model

    generator, metadata = _load(path, settings)
    say_if_emulated(settings.precision)  # the check takes a minute then
    if settings.strength != AUTO:
        name = f"{name} toward {settings.toward}, at strength {settings.strength:g},"
    writers = {"keras": (write_model, "keras.models.load_model"), "tensorlayerx": (write_tensorlayerx, TENSORLAYERX)}
    if settings.format in writers:
        if generator.name == "blend":
            raise UserError(f"{settings.output}: {settings.format} takes one network; leave --strength out")
        write, reader = writers[settings.format]
        keep_existing(Path(settings.output), settings.overwrite)
        write(generator, settings.output)
        say(f"{name} written to {settings.output}, for {reader}")
        return 0
    difference = export(
        generator,
        settings.output,
        settings.format,
        overwrite=settings.overwrite,
        metadata=metadata,
        precision=settings.precision,
        max_megapixels=unless_auto(settings.max_megapixels) or MAX_MEGAPIXELS,
    )
    say(
        f"{name} exported to {settings.output} and checked on {difference.picture}: at most {difference.levels} of 255"
        f" levels off Keras, in {difference.share:.2g} of the values"
    )
    if generator.name == "blend":
        say(BLENDED_NOTE)
    return 0


def _load(path, settings):
    """The model to export, and the metadata of its weights."""
    from srgan_tf.inference.export import describe_weights
    from srgan_tf.models.generator import load_generator

    if settings.strength == AUTO:
        return load_generator(path), describe_weights(path)
    from srgan_tf.inference.dial import load_between

    _, toward = one_weights(settings.toward)
    described = {"strength": settings.strength, "toward": describe_weights(toward)}
    return load_between(path, toward, settings.strength), describe_weights(path) | described
