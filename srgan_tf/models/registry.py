"""The models besides G, by name: how each is rebuilt from the configuration in its weights file."""

from srgan_tf.models import baselines, third_party


def _module_of(name):
    """The module of a model, which has `config_of`, `scale_of` and `margin_of`."""
    return third_party if name in third_party.ARCHITECTURES else baselines


def is_registered(model):
    """Whether a `keras.Model` is one of these, and not G."""
    return model.name in third_party.ARCHITECTURES or model.name in baselines.BUILDERS


def build_registered(model, **config):
    """Builds a model from what `describe_registered` gave; raises KeyError or TypeError for an unknown one."""
    if model in third_party.ARCHITECTURES:
        return third_party.build_third_party(model, **config)
    return baselines.BUILDERS[model](**config)


def describe_registered(model):
    """The arguments of `build_registered` that build a model again."""
    return {"model": model.name} | _module_of(model.name).config_of(model)


def scale_of(model):
    """The scale factor."""
    return _module_of(model.name).scale_of(model)


def margin_of(model):
    """Radius of the receptive field: how far an output pixel sees, in LR pixels beyond the one that it lies in."""
    return _module_of(model.name).margin_of(model)
