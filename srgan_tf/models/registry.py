"""The models besides G, by name: how each is built again from what its file says of it."""

from srgan_tf.models import baselines, foreign


def _home(name):
    """The module of a model, which has `shape_of`, `scale_of` and `margin_of`."""
    return foreign if name in foreign.KINDS else baselines


def build_plain(model, **shape):
    """Builds a model from what `describe_plain` said; raises KeyError or TypeError for another's."""
    if model in foreign.KINDS:
        return foreign.build_foreign(model, **shape)
    return baselines.BUILDERS[model](**shape)


def is_plain(model):
    """Whether a `keras.Model` is one of these, and not G."""
    return model.name in foreign.KINDS or model.name in baselines.BUILDERS


def describe_plain(model):
    """The arguments of `build_plain`."""
    return {"model": model.name} | _home(model.name).shape_of(model)


def scale_of(model):
    """The enlargement."""
    return _home(model.name).scale_of(model)


def margin_of(model):
    """How far an output pixel sees, in LR pixels beyond the LR pixel that it lies in."""
    return _home(model.name).margin_of(model)
