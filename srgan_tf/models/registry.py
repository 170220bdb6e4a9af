"""The models besides G, by name: baselines, and generators of other projects."""

from srgan_tf.models import baselines, third_party


def _module_of(name):
    """The module that has `config_of`, `scale_of` and `margin_of` for a model."""
    return third_party if is_third_party(name) else baselines


def is_third_party(name):
    """Whether a model of this name is another project's."""
    return name in third_party.ARCHITECTURES


def is_baseline(name):
    """Whether a model of this name is a baseline of the tables."""
    return name in baselines.BUILDERS


def is_registered(model):
    """Whether a `keras.Model` is one of these models, not G."""
    return is_third_party(model.name) or is_baseline(model.name)


def build_registered(model, **config):
    """Builds a model from the result of `describe_registered`; raises KeyError or TypeError for an unknown model."""
    if is_third_party(model):
        return third_party.build_third_party(model, **config)
    return baselines.BUILDERS[model](**config)


def describe_registered(model):
    """The arguments with which `build_registered` builds a model again."""
    return {"model": model.name} | _module_of(model.name).config_of(model)


def scale_of(model):
    """The scale factor."""
    return _module_of(model.name).scale_of(model)


def margin_of(model):
    """The radius of the receptive field: how far an output pixel sees, in LR pixels beyond the one that it lies in."""
    return _module_of(model.name).margin_of(model)
