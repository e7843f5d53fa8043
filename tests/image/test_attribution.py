"""Attribution finds what a network really looked at, and the drawing shows it."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import Tensor, nn

from assay.image.attribution import attribute
from assay.image.drawing import AGAINST, FOR, draw


class Window(nn.Module):
    """Output 0 is the sum of a known window of the picture, output 1 its negative, squashed."""

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        assert len(length) == len(x)
        seen = x[:, :, 2:6, 9:15].mean((1, 2, 3)) / 100
        return torch.stack([seen, -seen.tanh()], 1)


def pictures(channels: int = 3) -> Tensor:
    return torch.randint(0, 256, (5, channels, 12, 18), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def lengths(x: Tensor) -> Tensor:
    return torch.full((len(x),), x.shape[-1])


@pytest.mark.parametrize("channels", [1, 3])
def test_all_weight_lies_where_the_network_looks(channels: int) -> None:
    x = pictures(channels)
    weights = attribute(Window(), x, lengths(x), 0)
    assert weights.shape == (5, 12, 18)
    outside = weights.clone()
    outside[:, 2:6, 9:15] = 0
    assert outside.abs().max() == 0 and (weights[:, 2:6, 9:15] != 0).float().mean() > 0.95


@pytest.mark.parametrize("target", [0, 1])
def test_weights_add_up_to_what_the_picture_changes(target: int) -> None:
    x = pictures()
    mean = x.float().mean((2, 3), keepdim=True).expand_as(x)
    change = (Window()(x.float(), lengths(x)) - Window()(mean, lengths(x)))[:, target]
    torch.testing.assert_close(attribute(Window(), x, lengths(x), target).sum((1, 2)), change, atol=5e-3, rtol=0)


def test_a_picture_is_explained_alike_alone_and_among_many() -> None:
    x = pictures().repeat(60, 1, 1, 1)  # more than are asked at once
    among = attribute(Window(), x, lengths(x), 1)
    torch.testing.assert_close(among[:5], attribute(Window(), x[:5], lengths(x[:5]), 1))


def test_a_failing_network_is_left_in_its_mode() -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor, length: Tensor) -> Tensor:
            raise RuntimeError("no")

    model = Failing().train()
    with pytest.raises(RuntimeError, match=r"^no$"):
        attribute(model, pictures(), lengths(pictures()), 0)
    assert model.training


def pixels(x: Tensor, weights: Tensor | None) -> np.ndarray:
    canvas = FigureCanvasAgg(draw(x, weights))
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def test_a_drawing_has_the_pictures_form_and_colours() -> None:
    x = torch.zeros(3, 10, 20)
    x[0, :, 10:] = 255
    drawn = pixels(x, None)
    assert drawn.shape[1] == pytest.approx(2 * drawn.shape[0], abs=2)
    assert drawn[drawn.shape[0] // 2, 5].tolist() == [0, 0, 0] and drawn[drawn.shape[0] // 2, -5].tolist() == [
        255,
        0,
        0,
    ]


def test_what_speaks_for_is_red_and_against_is_blue() -> None:
    weights = torch.zeros(10, 20)
    weights[:, :5], weights[:, -5:] = 1.0, -1.0
    drawn = pixels(torch.full((1, 10, 20), 128.0), weights)
    middle = drawn[drawn.shape[0] // 2] / 255
    np.testing.assert_allclose(middle[4], FOR, atol=0.01)
    np.testing.assert_allclose(middle[-5], AGAINST, atol=0.01)
    assert np.ptp(middle[len(middle) // 2]) < 0.01, "no weight, no colour"


def test_weights_of_nothing_are_drawn_without_colour() -> None:
    drawn = pixels(torch.full((1, 8, 8), 200.0), torch.zeros(8, 8))
    assert (np.ptp(drawn, axis=2) == 0).all()
