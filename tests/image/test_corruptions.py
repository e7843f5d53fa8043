"""Each corruption does to a picture what its name says."""

import pytest
import torch
from torch import Tensor

from assay.image.corruptions import CORRUPTIONS, WORST

SHAPES = [(1, 28, 28), (3, 20, 33)]


def pictures(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(60, 160, (5, *shape), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def damaged(name: str, x: Tensor, severity: int) -> Tensor:
    return CORRUPTIONS[name](x, torch.full((len(x),), x.shape[-1]), severity)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_range_shape_and_type_are_kept(name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = pictures(shape).to(dtype)
    out = damaged(name, x, WORST)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert out.amin() >= 0 and out.amax() <= 255 and not torch.equal(out, x)


@pytest.mark.parametrize("severity", [-1, 6])
def test_a_severity_that_does_not_exist_is_our_mistake(severity: int) -> None:
    with pytest.raises(AssertionError, match=f"severity {severity} is not in 0…5"):
        damaged("noise", pictures((1, 8, 8)), severity)


def test_noise_differs_between_pictures_of_different_content() -> None:
    x = torch.arange(60, 92, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 15, 15).contiguous()
    noise = damaged("noise", x, 1).int() - x.int()
    assert len({tuple(one.flatten().tolist()) for one in noise}) >= 8


def test_brightness_lifts_black_too() -> None:
    assert damaged("brightness", torch.zeros(1, 1, 4, 4), 2).unique().tolist() == pytest.approx([51.0])


def test_contrast_pulls_towards_the_mean() -> None:
    x = pictures((3, 16, 16)).float()
    out = damaged("contrast", x, WORST)
    torch.testing.assert_close(out.mean((1, 2, 3)), x.mean((1, 2, 3)))
    torch.testing.assert_close(out.std((1, 2, 3)), 0.05 * x.std((1, 2, 3)))


def test_blur_and_pixelate_take_detail_and_keep_the_mean() -> None:
    x = pictures((1, 28, 28)).float()
    for name in ("blur", "pixelate"):
        out = damaged(name, x, WORST)
        assert (out.std((1, 2, 3)) < 0.8 * x.std((1, 2, 3))).all()
        assert (out.mean((1, 2, 3)) - x.mean((1, 2, 3))).abs().max() < 2


def test_pixelate_leaves_a_quarter_of_the_places_a_side() -> None:
    out = damaged("pixelate", pictures((1, 28, 28)).float(), WORST)
    assert all(len(torch.unique_consecutive(one[0], dim=0)) == 7 for one in out)
