"""Scores, compares, uses and exports generators; `python evaluate.py --help` lists the flags."""

import contextlib
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

import config
from srgan_tf.cli import command_line
from srgan_tf.cli.modes import SELFEX, check_modes
from srgan_tf.cli.upscalers import load_upscaler, load_upscalers
from srgan_tf.data.downloads import find_set
from srgan_tf.data.folders import Pair, embedded_pictures, few, find_pictures
from srgan_tf.evaluation.benchmark import (
    BASELINES,
    PictureSet,
    find_cropped,
    find_ignored,
    find_sets,
    fit_sets,
    score_set,
    subset,
)
from srgan_tf.evaluation.external_results import find_external_results
from srgan_tf.evaluation.faces import SIZES
from srgan_tf.evaluation.facts import facts
from srgan_tf.evaluation.records import HR, LR, Pictures
from srgan_tf.evaluation.systems import named_results, named_weights
from srgan_tf.imaging import files
from srgan_tf.system import quiet
from srgan_tf.system.atomic import atomic_file, check_writable
from srgan_tf.system.disk import sha256
from srgan_tf.system.errors import UserError
from srgan_tf.weights import COMPARED_WEIGHTS

SCRIPT = "evaluate.py"
# Of the output; any other is a folder with a SavedModel.
EXPORT_ENDINGS = {".onnx": "onnx", ".tflite": "litert", ".npz": "tensorlayerx"}
TAKEN = (*BASELINES, HR, LR, SELFEX)  # names that no weights can have
FACES_SHOWN = 2
HOW_TO_TRAIN = (
    "No --weights given. --weights=srgan scores the package's own; `python train.py --mode=srresnet` trains yours"
    " (--help says more)."
)


def chosen(value):
    """The value of a flag, None if it was left at auto."""
    return None if value == config.AUTO else value


def load_systems(weights, settings):
    """Our systems, then the baselines.

    Returns:
        `(systems, scale)`: a dict from name to a function of LR, and the enlargement of all of them.
    """
    upscalers, scale = load_upscalers(weights, settings)
    systems = {name: upscaler.upscale for name, upscaler in upscalers.items()}
    return systems | {name: partial(baseline, factor=scale) for name, baseline in BASELINES.items()}, scale


def load_sets(data):
    """The test sets that `--data` names; without it the embedded photographs."""
    if data:
        folder = find_set(data)
        sets, left_out = find_sets(folder), find_ignored(folder)
        if left_out:
            print(f"{folder}: left out, because they are in no folder with HR/: {few(left_out)}\n")
        return sets
    pairs = [Pair(name, path, None) for name, path in embedded_pictures().items()]
    print(f"No --data given: {len(pairs)} photographs of scikit-image; without --train_dir, training saw most.\n")
    return [PictureSet("scikit-image", tuple(pairs))]


def load_results(results, each):
    """What other systems made of a test set: a dict from system to a dict from a picture's name to its file."""
    names = [pair.name for pair in each.pairs]
    return {name: find_external_results(folder, name, names, each.name) for name, folder in results.items()}


def load_lpips(settings):
    """LPIPS with the weights of `--lpips`, or None."""
    if not settings.lpips:
        return None
    from srgan_tf.evaluation.lpips import Lpips, read_weights

    weights = read_weights(settings.lpips, settings.lpips_net)
    quiet.import_tensorflow()
    return Lpips(weights, settings.lpips_net)


def evaluate(settings):
    """Prints a table for each test set; writes CSV, pictures and the report on request."""
    from srgan_tf.evaluation import report, statistics, tables

    weights = named_weights(settings.weights, TAKEN)
    results = named_results(settings.results, (*TAKEN, *weights))
    if settings.report:
        report.check_target(settings.report, settings.overwrite)
    if settings.csv:
        tables.check_csv_target(settings.csv)
    if settings.pictures:
        check_writable(settings.pictures, folder=True)
    sets = load_sets(settings.data)
    external = {each.name: load_results(results, each) for each in sets}
    lpips = load_lpips(settings)
    systems, scale = load_systems(weights, settings)
    sets, notes = fit_sets(sets, scale)
    print("".join(f"{note}\n\n" for note in notes), end="")

    with contextlib.ExitStack() as cleanup:
        pictures = settings.pictures
        if settings.report and not pictures:
            pictures = cleanup.enter_context(tempfile.TemporaryDirectory())
        bar = cleanup.enter_context(
            tqdm(total=sum(len(each.pairs) for each in sets), unit="picture", leave=False, disable=None)
        )
        scored = []
        for each in sets:
            cut = find_cropped(each.pairs, scale)
            if cut:
                bar.write(f"{each.name}: HR cut at the right and bottom to multiples of {scale}: {', '.join(cut)}\n")
            folder = Path(pictures, *([each.name] if len(sets) > 1 else [])) if pictures else None
            one = score_set(
                each,
                systems,
                scale,
                folder,
                lambda picture: bar.update(),
                external[each.name],
                lpips=lpips,
                rgb=settings.rgb,
            )
            scored.append(one)
            if one.scores:
                bar.write(tables.table(one, settings.verbose) + "\n")
                if settings.confidence:
                    bar.write(tables.differences_text(statistics.differences(one)) + "\n")
        bar.close()
        scores = [entry for one in scored for entry in one.scores]
        net = settings.lpips_net if lpips else None
        if scores:
            print(tables.protocol_text(net, settings.rgb))
        if not weights:
            print(f"\n{HOW_TO_TRAIN}")
        if scores and settings.csv:
            tables.write_csv(scores, settings.csv)
        if scores and settings.report:
            rows = [row for one in scored for row in tables.rows(one)]
            shown = (item for one in scored for item in pictures_of(one))
            known = facts(weights, protocol=tables.protocol(net, settings.rgb))
            notes = report.write_report(settings.report, rows, scores, shown, known, settings.overwrite)
            print("\n".join([f"\nReport: {settings.report}", *notes]))
    return finish([error for one in scored for error in one.failures])


def pictures_of(scored):
    """What the report shows of a test set: each picture that was scored, HR first."""
    kept = {score.picture for score in scored.scores}
    for pair in scored.set.pairs:
        if pair.name in kept:
            made = {name: scored.picture_file(name, pair.name) for name in (*scored.systems, *scored.external)}
            yield Pictures(scored.set.name, pair.name, pair.lr, {HR: pair.hr, **made})


def compare(settings):
    """Writes a report that shows pictures without HR, upscaled by every system, side by side."""
    from srgan_tf.evaluation import report

    weights = named_weights(settings.weights, TAKEN)
    results = named_results(settings.results, (*TAKEN, *weights))
    report.check_target(settings.report, settings.overwrite)
    folder = Path(settings.input)
    names = {}
    for path in find_pictures(folder):
        other = names.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        if other != path:
            raise UserError(f"{path}: has the same name as {other} but for its ending; rename or remove one")
    if not names:
        raise UserError(f"{folder}: no pictures; put some there or give another --input")
    external = {name: find_external_results(own, name, list(names)) for name, own in results.items()}
    systems, scale = load_systems(weights, settings)
    failures, bar = [], tqdm(total=len(names), unit="picture", leave=False, disable=None)

    def shown():
        for name, path in names.items():
            try:
                lr = files.read_rgb(path)
                made = {system: enlarge(lr) for system, enlarge in systems.items()}
                yield Pictures("", name, path, made | {system: own[name] for system, own in external.items()})
            except UserError as error:
                failures.append(error)
            except MemoryError as error:
                failures.append(UserError(f"{path}: {error}"))

    with bar:
        known = facts(weights, enlargement=f"{scale}x")
        notes = report.write_comparison(
            settings.report, shown(), known, settings.overwrite, lambda picture: bar.update()
        )
    print("\n".join([f"Report: {settings.report}", *notes]))
    return finish(failures)


def upscale(settings):
    """Upscales a picture, or every picture of a folder or a pattern into the same places of another folder."""
    from srgan_tf.inference.plan import STREAM, plan

    system = settings.model or next(iter(named_weights(settings.weights).values()), None)
    jobs, skipped = plan(settings.input, settings.output, chosen(settings.format), settings.overwrite)
    if settings.quality != config.AUTO and jobs and not {"jpeg", "webp"} & {job.kind for job in jobs}:
        raise UserError(f"--quality is about JPEG and WebP, not {jobs[0].kind}; leave it out, or set --format")
    failures = []
    if jobs:
        upscaler = load_upscaler(system, settings)
        from srgan_tf.inference.jobs import run as run_jobs

        failures = run_jobs(
            jobs,
            upscaler,
            outscale=chosen(settings.outscale),
            quality=chosen(settings.quality),
            max_pixels=int(settings.max_megapixels * 1e6),
        )
    if settings.output != STREAM:
        failed = f", {len(failures)} failed" if failures else ""
        if len(jobs) > len(failures) or len(jobs) > 1:
            print(f"{len(jobs) - len(failures)} upscaled to {settings.output}{failed}")
        if len(skipped) > 1 or skipped and jobs:
            print(f"{len(skipped)} left as they are, because they exist (--overwrite replaces them)")
        elif skipped:
            print(f"{skipped[0].target} exists already and is left as it is (--overwrite replaces it)")
    return finish(failures)


def export(settings):
    """Writes a generator for other software."""
    ((name, path),) = named_weights(settings.weights).items()
    named = EXPORT_ENDINGS.get(Path(settings.output).suffix.lower())
    kind = chosen(settings.format) or named or "savedmodel"
    if named not in (None, kind):
        raise UserError(f"{settings.output}: named as {named}, but --format={kind}; change one or leave --format out")
    if settings.precision == "float16" and kind != "litert":
        raise UserError(f"--precision=float16 is for --format=litert, not {kind}; leave it out")
    quiet.import_tensorflow()
    from srgan_tf.inference.export import describe_weights
    from srgan_tf.inference.export import export as export_generator
    from srgan_tf.models.generator import load_generator
    from srgan_tf.models.third_party_weights import write_tensorlayerx

    if kind == "tensorlayerx":
        keep_existing(settings, Path(settings.output))
        write_tensorlayerx(load_generator(path), settings.output)
        print(f"{name} written to {settings.output}, for load_weights(..., format='npz_dict')")
        return 0
    difference = export_generator(
        load_generator(path),
        settings.output,
        kind,
        overwrite=settings.overwrite,
        metadata=describe_weights(path),
        float16=settings.precision == "float16",
    )
    print(
        f"{name} exported to {settings.output} and checked on {difference.picture}: at most {difference.levels} of 255"
        f" levels off Keras, in {difference.share:.2g} of the values"
    )
    return 0


def keep_existing(settings, output):
    """Refuses to replace the output unless told to."""
    if output.exists() and not settings.overwrite:
        raise UserError(f"{output}: exists already; --overwrite replaces it")


def import_weights(settings):
    """Turns another project's generator into a weights file of this one."""
    if bool(settings.tensorlayerx) == bool(settings.krasserm):
        raise UserError("--mode=import needs either --tensorlayerx or --krasserm, the file to read")
    source = settings.tensorlayerx or settings.krasserm
    output = Path(settings.output or Path(source).with_suffix(".weights.h5").name)
    keep_existing(settings, output)
    if not output.name.endswith(".weights.h5"):
        raise UserError(f"{output}: the name of a weights file must end in .weights.h5")
    quiet.import_tensorflow()
    from srgan_tf.models.generator import describe, save_generator
    from srgan_tf.models.third_party_weights import read_krasserm, read_tensorlayerx

    read = read_tensorlayerx if settings.tensorlayerx else read_krasserm
    model = read(source)
    save_generator(model, output)
    what = ", ".join(f"{name} {value}" for name, value in describe(model).items())
    print(f"{output}: {what}; use it with --weights={output}")
    return 0


def faces(settings):
    """Prints how well FaceNet tells small faces of LFW apart, enlarged by each system; see `evaluation.faces`."""
    from srgan_tf.evaluation.faces import EmbeddingCache, Method, as_json, bicubic, embed_faces, verify
    from srgan_tf.evaluation.faces_report import curves, strip, tables
    from srgan_tf.evaluation.lfw import read_face, read_pairs

    weights = named_weights(settings.weights or COMPARED_WEIGHTS, TAKEN)
    pairs = read_pairs(settings.pairs, settings.lfw)
    paths = sorted({path for pair in pairs for path in (pair.first, pair.second)})
    quiet.import_tensorflow()
    from srgan_tf.evaluation.facenet import Embedder

    embedder = Embedder(settings.facenet, chosen(settings.standardisation))
    upscalers, scale = load_upscalers(weights, settings)
    known = facts(weights, facenet=f"{settings.facenet}, SHA-256 {embedder.digest}")
    methods = {"bicubic": bicubic(scale)}
    methods |= {name: Method(sha256(weights[name]), upscaler.upscale_batch) for name, upscaler in upscalers.items()}
    folds = len({pair.fold for pair in pairs})
    crop = chosen(settings.face_crop)
    known["protocol"] = (
        f"{len(pairs):,} pairs in {folds} folds{'' if folds == 10 else ' (the official list has 10)'}, {len(paths):,}"
        f" pictures, {f'{crop}x{crop}' if crop else 'LFW: 130x130'} of the middle; {embedder.standardisation}"
        f" standardisation, {embedder.at_once} at once"
    )
    print(known["protocol"] + "\n")
    folder = Path(settings.output or "faces")
    with contextlib.closing(EmbeddingCache(folder / "vectors.sqlite")) as vectors:
        with tqdm(total=len(paths) * (len(SIZES) * len(methods) + 1), unit="face", leave=False, disable=None) as bar:
            made = embed_faces(paths, methods, embedder, vectors, crop=crop, progress=bar.update)
    results = verify(pairs, paths, made)
    shown = strip([read_face(path, crop) for path in paths[:FACES_SHOWN]], methods)
    with atomic_file(folder / "faces.json") as beside:
        beside.write_text(as_json(results, known), encoding="utf-8")
    with atomic_file(folder / "roc.png") as beside:
        beside.write_bytes(curves(results, np.array([pair.same for pair in pairs])))
    with atomic_file(folder / "faces.png") as beside:
        shown.save(beside, format="png")
    print(f"{tables(results)}\n\n{folder}: faces.png, roc.png, faces.json, and the vectors for the next time")
    return 0


def mos(settings):
    """Writes the page of a study of opinions, or the table of what raters saved; see `evaluation.mos`."""
    if settings.make:
        return make_study(settings)
    from srgan_tf.evaluation.mos import opinions, read_raters
    from srgan_tf.evaluation.mos_report import distributions, text

    raters = read_raters(settings.score)
    failed = [rater for rater in raters if rater.fault()]
    for rater in failed:
        print(f"{rater.name} ({rater.path}) fails the calibration: {rater.fault()}")
    if settings.exclude_failed:
        raters = [rater for rater in raters if rater not in failed]
        if not raters:
            raise UserError("--exclude_failed leaves no rater; see the reasons above")
    found = opinions(raters)
    print(text(raters, found))
    figure = Path(settings.output or ".", "mos.png")
    with atomic_file(figure) as beside:
        beside.write_bytes(distributions(found))
    print(f"\n{figure}: how often each score was given")
    return 0


def make_study(settings):
    """Writes the page on which raters give their scores."""
    from srgan_tf.evaluation.mos_page import all_versions, write_study

    path = Path(settings.output or "study.html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output={path}: the page's name must end in .html")
    if path.is_dir():
        raise UserError(f"--output={path}: a folder; name a file for the page")
    if path.exists() and not settings.overwrite:
        raise UserError(f"{path}: exists already; raters may be at it. Give another --output, or --overwrite")
    check_writable(path)
    weights = named_weights(settings.weights or COMPARED_WEIGHTS, TAKEN)
    results = named_results(settings.results, (*TAKEN, *weights))
    sets = [subset(each, settings.per_set) for each in load_sets(settings.data)]
    external = [load_results(results, each) for each in sets]
    systems, scale = load_systems(weights, settings)
    sets, notes = fit_sets(sets, scale)
    print("".join(f"{note}\n" for note in notes), end="")
    total = sum(len(each.pairs) for each in sets)
    with tqdm(total=total, unit="picture", leave=False, disable=None) as bar:
        versions = all_versions(sets, systems, external, scale, lambda: bar.update())
        count = write_study(path, "How good is each picture?", versions)
    print(f"{path}: {count} pictures to rate, {path.stat().st_size / 1e6:.1f} MB; raters open it and save a file")
    return 0


def finish(failures):
    """Names what went wrong on the way; returns the exit status."""
    for error in failures:
        command_line.print_error(SCRIPT, error)
    return 1 if failures else 0


def main(argv):
    """Runs the command line `argv`; returns the exit status."""
    return command_line.run(SCRIPT, run, argv)


def run(argv):
    settings = config.parse(config.EvaluateSettings, argv)
    check_modes(settings)
    modes = {
        "evaluate": evaluate,
        "compare": compare,
        "upscale": upscale,
        "export": export,
        "import": import_weights,
        "faces": faces,
        "mos": mos,
    }
    return modes[settings.mode](settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
