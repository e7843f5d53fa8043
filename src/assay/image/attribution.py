"""Where in a picture a network looked. Owns the method of attribution; draws nothing.

Integrated gradients (Sundararajan, Taly & Yan, Axiomatic Attribution for Deep Networks, 2017), by captum: the
weights of a picture add up to how much its output differs from that of a picture without content, and a network of
other weights gives others.
"""

import torch
from torch import Tensor
from torch.nn import Module

STEPS = (
    24  # points between no content and the picture; captum's 50 changed no picture of digits that a person could see
)
BATCH = 256  # pictures × steps at once, so that memory does not grow with either


def attribute(model: Module, x: Tensor, length: Tensor, target: int) -> Tensor:
    """N×H×W, float: what each pixel, over all channels, says for output `target` (above 0) or against it (below 0).

    `x` is N×C×H×W in 0…255. What a picture is compared with is its own mean colour, so that neither black nor white
    counts as nothing to see. The network is asked in evaluation mode and left in the mode it was in.
    """
    from captum.attr import IntegratedGradients  # 0.5 s to import, and only explanations need it

    pictures = x.float()
    was_training = model.training
    model.eval()
    try:
        with torch.enable_grad():
            weights: Tensor = IntegratedGradients(model).attribute(
                pictures,
                baselines=pictures.mean((2, 3), keepdim=True).expand_as(pictures),
                target=target,
                additional_forward_args=(length,),
                n_steps=STEPS,
                internal_batch_size=max(BATCH, len(pictures)),
            )
    finally:
        model.train(was_training)
    return weights.detach().sum(1).float()
