"""The models besides G, by name: how each is built again from what its file says of it."""

from srgan_tf.models import baselines, foreign


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
    if model.name in foreign.KINDS:
        return {"model": model.name, "blocks": foreign.blocks_of(model)}
    return {"model": model.name} | baselines.shape_of(model)


def scale_of(model):
    """The enlargement."""
    return foreign.KINDS[model.name].scale if model.name in foreign.KINDS else baselines.scale_of(model)


def margin_of(model):
    """How far an output pixel sees, in LR pixels beyond the LR pixel that it lies in."""
    return (foreign if model.name in foreign.KINDS else baselines).margin_of(model)
