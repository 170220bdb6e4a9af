"""G, D and VGG19 in PyTorch as they are usually written, with the weights of the Keras networks.

They take pictures `(N, 3, H, W)` in [-1, 1]. Weights are `{layer: arrays}`, as `programs.layer_weights` gives them.
"""

import torch
from torch import nn

BN_EPSILON = 1e-3  # Keras' defaults, which G and D use
BN_MOMENTUM = 0.01  # of the new statistics; Keras counts the old ones' 0.99
CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB, of ImageNet; keras.applications.vgg19.preprocess_input


def _conv(arrays, stride=1):
    kernel, *bias = (torch.tensor(array) for array in arrays)
    layer = nn.Conv2d(*kernel.shape[2:], kernel.shape[0], stride, padding=kernel.shape[0] // 2, bias=bool(bias))
    layer.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
    if bias:
        layer.bias.data = bias[0]
    return layer


def _bn(arrays):
    gamma, beta, mean, variance = (torch.tensor(array) for array in arrays)
    layer = nn.BatchNorm2d(len(gamma), eps=BN_EPSILON, momentum=BN_MOMENTUM)
    layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var = gamma, beta, mean, variance
    return layer


def _dense(arrays):
    kernel, bias = (torch.tensor(array) for array in arrays)
    layer = nn.Linear(*kernel.shape)
    layer.weight.data, layer.bias.data = kernel.T.contiguous(), bias
    return layer


class _Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


def generator(model):
    """G without tricks, of what `programs.read_model` returns."""
    weights, stages = model["weights"], model["scale"].bit_length() - 1

    def conv_bn(name):
        return nn.Sequential(_conv(weights[f"{name}_conv"]), _bn(weights[f"{name}_bn"]))

    blocks = [
        _Residual(nn.Sequential(conv_bn(f"block{block}a"), nn.ReLU(), conv_bn(f"block{block}b")))
        for block in range(1, model["blocks"] + 1)
    ]
    enlarge = [
        nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), conv_bn(f"up{stage}"), nn.ReLU())
        for stage in range(1, stages + 1)
    ]
    trunk = _Residual(nn.Sequential(*blocks, conv_bn("trunk")))
    first, last = _conv(weights["first_conv"]), _conv(weights["last_conv"])
    return nn.Sequential(first, nn.ReLU(), trunk, *enlarge, last, nn.Tanh())


class Discriminator(nn.Module):
    """D, of the weights of `srgan_tf.models.discriminator`, for pictures whose sides are multiples of 16.

    Before a convolution of stride 2, PyTorch pads at both sides and TensorFlow only at the end. On pictures and
    kernels turned by 180 degrees the two are the same, so D needs no padding of its own.
    """

    def __init__(self, weights):
        super().__init__()
        layers = []
        for index in range(1, 9):
            kernel, *bias = weights[f"conv{index}"]
            layers.append(_conv([kernel[::-1, ::-1].copy(), *bias], stride=2 - index % 2))
            if f"bn{index}" in weights:
                layers.append(_bn(weights[f"bn{index}"]))
            layers.append(nn.LeakyReLU(0.2))
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(_dense(weights["dense"]), nn.LeakyReLU(0.2), _dense(weights["logits"]))

    def forward(self, picture):
        return self.head(self.features(picture.flip(2, 3)).mean((2, 3)))


class Vgg54(nn.Module):
    """VGG19 up to its 16th convolution's ReLU, with Keras' preprocessing in front; frozen."""

    def __init__(self, weights):
        super().__init__()
        layers = []
        for block, convolutions in enumerate((2, 2, 4, 4, 4), start=1):
            if block > 1:
                layers.append(nn.MaxPool2d(2))
            for index in range(1, convolutions + 1):
                kernel, bias = weights[f"block{block}_conv{index}"]
                if not layers:
                    kernel = kernel[:, :, ::-1].copy()  # from BGR to RGB
                layers += [_conv([kernel, bias]), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(CAFFE_MEAN)[:, None, None])
        self.requires_grad_(False)

    def forward(self, picture):
        return self.layers((picture + 1) * 127.5 - self.mean)
