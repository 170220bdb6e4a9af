"""The command lines of the slides' scripts, `train.py` and `evaluate.py`, as version 0.1.0 documented them."""

import importlib
import shlex

import pytest

import evaluate
import train
from srgan_tf.cli.main import MODES

CPU = "--crop_size=96 --batch_size=8 --freeze_bn_after=0"
ADAM = "--freeze_bn_after=0 --learning_rate=4e-4 --schedule=cosine --train_dir=TRAIN --valid_dir=VALID"
VGG54 = f"--mode=srgan --train_dir=TRAIN --valid_dir=VALID --content_loss=vgg54 --mse_loss_weight=0.1 {CPU}"
BFLOAT16 = "--precision=mixed_bfloat16 --schedule=step --ema_decay=0.999 --seed=1"
SRCNN = "--model=srcnn --train_dir=TRAIN --valid_dir=VALID --batch_size=16 --crops_per_image=4 --warmup_steps=200"
TRAIN = [
    "",
    "--mode=srresnet",
    "--mode=srresnet --content_loss=vgg22",
    "--mode=srgan",
    "--mode=srgan --content_loss=mse",
    "--mode=srgan --content_loss=vgg22",
    "--mode=srgan --content_loss=vgg54",
    "--model=srcnn",
    "--model=espcn",
    "--model=drcn",
    "--mode=srresnet --train_dir=PHOTOS --run_dir=runs/mine",
    "--mode=srgan --train_dir=PHOTOS --run_dir=runs/mine",
    "--mode=srgan --train_dir=/shared/photos --run_dir=/shared/runs/mine --batch_size=64 --workers=16",
    "--mode=srgan --train_dir=/data/photos --run_dir=/data/runs/mine --batch_size=512 --workers=24",
    f"--mode=srresnet --train_dir=PHOTOS {CPU} --learning_rate=5e-4 --warmup_steps=200 --schedule=cosine --steps=6000",
    f"--mode=srresnet {ADAM} --run_dir=runs/second --crop_size=96 --batch_size=16 --warmup_steps=100 --steps=3000"
    " --seed=1 --weights=runs/first/srresnet/generator.weights.h5",
    f"--mode=srresnet {ADAM} --run_dir=runs/third --crop_size=96 --batch_size=8 --warmup_steps=200 --steps=12000"
    " --seed=3 --weights=runs/second/srresnet/generator.weights.h5",
    f"{VGG54} --run_dir=runs/gan {BFLOAT16} --weights=srresnet --steps=5000",
    f"{VGG54} --run_dir=runs/gan {BFLOAT16} --steps=20000",
    f"{VGG54} --run_dir=runs/even --precision=mixed_bfloat16 --weights=runs/gan/srgan/generator.weights.h5"
    " --discriminator=runs/gan/srgan --seed=5 --consistency_loss_weight=5 --learning_rate=5e-5 --warmup_steps=50"
    " --schedule=cosine --ema_decay=0.995 --steps=1500 --balance_colours",
    "--model=espcn --train_dir=PHOTOS --optimizer=muon --learning_rate=5e-3 --warmup_steps=100 --schedule=cosine"
    " --crop_size=160 --batch_size=8 --steps=2000",
    "--model=espcn --train_dir=ALL --valid_dir=VALID --optimizer=muon --learning_rate=5e-3 --warmup_steps=200"
    " --schedule=cosine --crop_size=160 --batch_size=8 --crops_per_image=4 --steps=50000",
    f"{SRCNN} --schedule=cosine --run_dir=runs/1 --crop_size=96 --learning_rate=5e-4 --steps=20000",
    f"{SRCNN} --schedule=cosine --run_dir=runs/2 --crop_size=64 --learning_rate=5e-4 --steps=14000"
    " --weights=runs/1/srcnn/generator.weights.h5",
    "--mode=srgan --dry_run",
    "--train_dir pack",  # a folder of that name
]
PACK = ["--train_dir=PHOTOS --pack=PACKED", "--train_dir PHOTOS -pack PACKED"]
EVALUATE = [
    ("evaluate", "--mode=evaluate"),
    ("evaluate", "--mode=evaluate --weights=srresnet --weights=srgan"),
    ("evaluate", "--mode=evaluate --data=set5"),
    ("evaluate", "--mode=evaluate --data=Set5 --weights=mine=runs/mine/srgan/generator.weights.h5"),
    ("evaluate", "--data=FOLDER --weights=srresnet --lpips=FILE"),
    ("evaluate", "--model=selfex"),
    ("evaluate", ""),
    ("upscale", "--mode=upscale --input=photo.jpg --output=large.png"),
    ("upscale", "--mode=upscale --weights=runs/mine/srgan/generator.weights.h5 --input=photo.jpg --output=large.png"),
    ("upscale", "--mode=upscale --input=photos --output=large --format=webp"),
    ("upscale", "--mode=upscale --input='photos/**/*.jpg' --output=large --outscale=2"),
    ("upscale", "--mode upscale --input=- --output=-"),
    ("compare", "--mode=compare --input=photos --report=compared --weights=runs/mine/srgan/generator.weights.h5"),
    ("export", "--mode=export --weights=srgan --output=models/srgan/1"),
    ("export", "--mode=export --weights=runs/mine/srgan/generator.weights.h5 --output=exported"),
    ("export", "--mode=export --weights=g.weights.h5 --output=back.npz"),
    ("import", "--mode=import --tensorlayerx=g.npz"),
    ("import", "--mode=import --krasserm=gan_generator.h5"),
    ("faces", "--mode=faces --lfw=lfw-deepfunneled --pairs=pairs.txt --facenet=20180402-114759.pb"),
    ("mos make", "--mode=mos --make --data=TESTSETS --output=study.html --results=DRCN=THEIR_PICTURES"),
    ("mos score", "--mode=mos --score mos-a.json mos-b.json --exclude_failed"),
    ("mos score", "--mode=mos --score=mos-a.json --score=mos-b.json"),
]
LINES = [("train", train, line) for line in TRAIN]
LINES += [("pack", train, line) for line in PACK]
LINES += [(mode, evaluate, line) for mode, line in EVALUATE]


@pytest.mark.parametrize("mode, script, line", LINES)
def test_the_old_command_lines_are_understood(mode, script, line, monkeypatch, capsys):
    ran = []
    for name, (module, _) in MODES.items():
        module = importlib.import_module(module)
        monkeypatch.setattr(module, "run", lambda settings, name=name: ran.append(name) or 0)
    assert script.main([f"{script.__name__}.py", *shlex.split(line)]) == 0, capsys.readouterr().err
    assert ran == [mode]
