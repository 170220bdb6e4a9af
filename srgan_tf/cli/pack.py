"""`srgan pack`: photographs as packed shards, which a training reads faster."""

import dataclasses
from pathlib import Path

from srgan_tf.cli.flags import MAX_THREADS, setting
from srgan_tf.data import layouts, packed
from srgan_tf.data.downloads import find_set
from srgan_tf.data.paired import match_sides, scan_sides
from srgan_tf.system import quiet
from srgan_tf.system.errors import UserError
from srgan_tf.system.terminal import counted, say


@dataclasses.dataclass(frozen=True)
class Settings:
    """Pack photographs for faster training: decoded, as TFRecords of 3 bytes a pixel.

    srgan pack PHOTOS PACKED
    srgan pack div2k-train PACKED
    srgan train --train_dir=PACKED
    """

    train_dir: str = setting(
        "",
        "folder of HR photographs, searched recursively; or one with HR/ and LR/, which are packed into HR/ and LR/;"
        " or the name of a set that is downloaded, such as div2k-train",
        positional="PHOTOS",
        required=True,
    )
    pack: str = setting(
        "",
        "folder to write the packed photographs to; training on them sees the same batches. The same command resumes"
        " an interrupted run, and checks a complete one",
        positional="PACKED",
        required=True,
    )
    workers: int = setting(2, "threads that decode", lower=1, upper=MAX_THREADS)


def run(settings):
    """Writes the training images into the folder `pack`, all that any crop size can use; returns the exit status."""
    folder = find_set(settings.train_dir)
    found = layouts.find_set(folder, 4)
    for source in filter(packed.is_packed, filter(None, (found.hr, found.lr))):
        raise UserError(f"{source}: is packed already; name the folder of the photographs")
    sides = scan_sides(folder)
    if len(sides) > 1:
        match_sides(sides)  # only to refuse what training would
    for source, scan in sides:
        say(f"packing    {scan.summary()[0]} ({source})", *scan.summary()[1:])
    quiet.import_tensorflow()
    from srgan_tf.data import packing

    targets = [Path(settings.pack, name) for name in (("HR", "LR") if len(sides) > 1 else ("",))]
    shards = [
        shard
        for (source, scan), target in zip(sides, targets)
        for shard in packing.pack(scan.pictures, source, target, settings.workers).shards
    ]
    for name, reason in (skipped for shard in shards for skipped in shard.skipped):
        say(f"  skipped {name}: {reason}")
    count, size = sum(len(shard.pictures) for shard in shards), sum(shard.size for shard in shards)
    say(f"packed     {counted(count, 'image')}, {size / 1e9:.1f} GB; train with --train_dir={settings.pack}")
    return 0
