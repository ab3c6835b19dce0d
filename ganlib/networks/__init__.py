"""The networks of the chapters: small, plain, seeded.

A network here is an ordinary ``torch.nn.Module``. Discriminators end in a raw output: the loss,
not the network, knows about sigmoids (see :mod:`ganlib.losses`). Layers that need noise
(:class:`Dropout`, :class:`GaussianNoise`) or keep a state (:func:`spectral_norm`) hold all of it in
buffers, so they train in place, in a pure step and under ``vmap`` alike.

    plain          mlp, maxout, and how weights are seeded and drawn
    dcgan          the convolutional pair
    conditional    how a label, or another condition, enters a network
    noisy          dropout and instance noise
    spectral       spectral norm
    minibatch      minibatch discrimination
    latent         the shape of a generator's latents
"""

from __future__ import annotations

from ganlib.networks.conditional import Conditional, JoinedFeatures, Projection
from ganlib.networks.dcgan import dcgan_discriminator, dcgan_generator
from ganlib.networks.latent import latent_shape
from ganlib.networks.minibatch import MinibatchDiscrimination
from ganlib.networks.noisy import Dropout, GaussianNoise, noisy
from ganlib.networks.plain import Maxout, leaky_relu, mlp, redrawn, seeded
from ganlib.networks.spectral import spectral_norm

__all__ = [
    "Conditional",
    "Dropout",
    "GaussianNoise",
    "JoinedFeatures",
    "Maxout",
    "MinibatchDiscrimination",
    "Projection",
    "dcgan_discriminator",
    "dcgan_generator",
    "latent_shape",
    "leaky_relu",
    "mlp",
    "noisy",
    "redrawn",
    "seeded",
    "spectral_norm",
]
