"""The policy for pictures: what each strength does to places and values, to every sample on its own."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Generator, Tensor

from assay.image.transforms import DRAWS, augmentation, blur, draw, matrices, warp
from assay.params import Policy

STRONG = {
    "crop": 0.5, "rotate": 90.0, "flip": 0.5, "flip_vertical": 0.5, "translate": 0.3, "scale": 0.5, "shear": 30.0,
    "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "noise": 0.3, "blur": 2.0, "erase": 0.5,
}  # fmt: skip
GEOMETRY = ["crop", "flip", "flip_vertical", "scale", "shear", "rotate", "translate"]  # in the order they are done
SHAPES = [(1, 28, 28), (3, 28, 28), (1, 20, 33), (3, 33, 20)]

strengths = st.fixed_dictionaries({name: st.floats(0, most) for name, most in STRONG.items()})


def pictures(shape: tuple[int, ...], count: int = 8, dtype: torch.dtype = torch.uint8) -> Tensor:
    values = torch.randint(0, 256, (count, *shape), generator=Generator().manual_seed(3))
    return values.to(dtype)


def changed(policy: Policy, x: Tensor, seed: int = 0) -> Tensor:
    return augmentation(policy)(x, torch.full((len(x),), x.shape[-1]), Generator().manual_seed(seed))


def drawn(count: int = 1, **values: float) -> Tensor:
    """Draws that change nothing (0.5 is the middle of either way), but for those given."""
    neutral = {"crop": 0.0, "flip": 1.0, "flip_vertical": 1.0} | values
    return torch.tensor([[neutral.get(name, 0.5)] * count for name in DRAWS])


def spot(shape: tuple[int, int, int], x: float, y: float, radius: float = 1.5) -> Tensor:
    """A picture with one soft bright spot whose centre is at pixel (x, y)."""
    rows, columns = torch.arange(shape[1]).float(), torch.arange(shape[2]).float()
    far = (columns - x) ** 2 + (rows[:, None] - y) ** 2
    return (255 * torch.exp(-far / (2 * radius**2))).expand(1, *shape).contiguous()


def centre_of(picture: Tensor) -> tuple[float, float]:
    """The centre of what is bright, (x, y) in pixels."""
    weight = picture[0].sum(0).double()
    x = (weight.sum(0) * torch.arange(weight.shape[1])).sum() / weight.sum()
    y = (weight.sum(1) * torch.arange(weight.shape[0])).sum() / weight.sum()
    return float(x), float(y)


def homogeneous(policy: Policy, draws: Tensor, height: int, width: int) -> Tensor:
    bottom = torch.tensor([[[0.0, 0.0, 1.0]]]).expand(draws.shape[1], 1, 3)
    return torch.cat([matrices(policy, draws, height, width), bottom], 1)


class TestGeometry:
    @given(
        shape=st.sampled_from(SHAPES),
        values=st.fixed_dictionaries({name: st.floats(0, 0.999) for name in DRAWS}),
        x=st.floats(-0.2, 0.2),
        y=st.floats(-0.2, 0.2),
    )
    def test_a_dot_lands_where_the_matrix_says(
        self, shape: tuple[int, int, int], values: dict[str, float], x: float, y: float
    ) -> None:
        _, height, width = shape
        policy = Policy(crop=0.1, rotate=40.0, flip=0.5, flip_vertical=0.5, translate=0.1, scale=0.2, shear=10.0)
        matrix = homogeneous(policy, drawn(**values), height, width)[0].double()
        start = torch.tensor([x, y, 1.0], dtype=torch.float64)
        landed = torch.linalg.inv(matrix) @ start
        before = spot(shape, (x + 1) * width / 2 - 0.5, (y + 1) * height / 2 - 0.5)
        found = centre_of(warp(before, matrix[None, :2].float()))
        wanted = ((landed[0] + 1) * width / 2 - 0.5, (landed[1] + 1) * height / 2 - 0.5)
        assert found == pytest.approx([float(place) for place in wanted], abs=0.3)

    @given(values=st.fixed_dictionaries({name: st.floats(0, 0.999) for name in DRAWS}), shape=st.sampled_from(SHAPES))
    def test_all_operations_are_one_matrix_the_product_of_theirs(
        self, values: dict[str, float], shape: tuple[int, int, int]
    ) -> None:
        draws, sides = drawn(**values), shape[1:]
        together = homogeneous(Policy(**{name: STRONG[name] for name in GEOMETRY}), draws, *sides)
        product = torch.eye(3)
        for name in GEOMETRY:
            product = product @ homogeneous(Policy(**{name: STRONG[name]}), draws, *sides)[0]
        torch.testing.assert_close(together[0], product, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("name", GEOMETRY)
    @pytest.mark.parametrize("shape", SHAPES)
    def test_a_draw_of_nothing_is_the_identity(self, name: str, shape: tuple[int, int, int]) -> None:
        x = pictures(shape, dtype=torch.float32)
        still = warp(x, matrices(Policy(**{name: STRONG[name]}), drawn(len(x)), *shape[1:]))
        torch.testing.assert_close(still, x, atol=0.05, rtol=0)  # of 255: single precision of places

    def test_rotation_turns_clockwise_and_keeps_distances_in_pictures_that_are_not_square(self) -> None:
        right = spot((1, 41, 81), 40 + 15, 20)
        turned = warp(right, matrices(Policy(rotate=90.0), drawn(rotate=1.0), 41, 81))
        assert centre_of(turned) == pytest.approx((40, 20 + 15), abs=0.1)

    def test_translation_is_a_share_of_the_side(self) -> None:
        draws = drawn(translate_x=1.0, translate_y=0.0)
        moved = warp(spot((1, 41, 81), 40, 20), matrices(Policy(translate=0.25), draws, 41, 81))
        assert centre_of(moved) == pytest.approx((40 + 81 / 4, 20 - 41 / 4), abs=0.1)

    def test_scale_moves_a_dot_away_from_the_centre(self) -> None:
        moved = warp(spot((1, 41, 41), 26, 14), matrices(Policy(scale=0.5), drawn(scale=1.0), 41, 41))
        assert centre_of(moved) == pytest.approx((20 + 6 * 1.5, 20 - 6 * 1.5), abs=0.1)

    def test_shear_slides_rows_by_their_height(self) -> None:
        moved = warp(spot((1, 41, 41), 20, 30), matrices(Policy(shear=45.0), drawn(shear=1.0), 41, 41))
        assert centre_of(moved) == pytest.approx((20 + 10, 30), abs=0.1)

    def test_crop_enlarges_a_window_that_touches_the_corner_at_its_furthest(self) -> None:
        draws = drawn(crop=1.0, crop_x=1.0, crop_y=0.0)
        x = torch.zeros(1, 1, 8, 8)
        x[..., :4, 4:] = 255  # the upper right quarter
        cropped = warp(x, matrices(Policy(crop=0.5), draws, 8, 8))
        assert cropped[..., :7, 1:].min() == 255  # but for the seam, half of which is the neighbour's

    @pytest.mark.parametrize(("name", "axis"), [("flip", -1), ("flip_vertical", -2)])
    def test_a_flip_is_exact(self, name: str, axis: int) -> None:
        x = pictures((3, 20, 33))
        assert torch.equal(changed(Policy(**{name: 1.0}), x), x.flip(axis))

    def test_half_of_the_pictures_flip_at_one_half(self) -> None:
        x = pictures((1, 8, 8), count=400)
        flipped = changed(Policy(flip=0.5), x)
        share = (flipped == x.flip(-1)).all((1, 2, 3)).float().mean()
        assert 0.4 < share < 0.6
        assert ((flipped == x).all((1, 2, 3)) | (flipped == x.flip(-1)).all((1, 2, 3))).all()

    def test_beyond_the_edge_the_background_goes_on_whatever_its_colour(self) -> None:
        for colour in (0.0, 127.0, 255.0):
            x = torch.full((4, 3, 16, 16), colour)
            policy = Policy(rotate=45.0, translate=0.4, scale=0.5)
            torch.testing.assert_close(changed(policy, x), x)


class TestValues:
    def test_brightness_multiplies(self) -> None:
        x = torch.full((200, 1, 4, 4), 100.0)
        bright = changed(Policy(brightness=0.2), x)
        assert bright.amin() >= 80 and bright.amax() <= 120
        assert bright[:, 0, 0, 0].unique().numel() > 150  # each sample its own

    def test_contrast_keeps_the_mean_and_stretches_about_it(self) -> None:
        x = pictures((1, 8, 8), dtype=torch.float32) / 4 + 96  # far from both ends
        stretched = changed(Policy(contrast=0.5), x)
        torch.testing.assert_close(stretched.mean((1, 2, 3)), x.mean((1, 2, 3)))
        ratio = stretched.std((1, 2, 3)) / x.std((1, 2, 3))
        assert (ratio > 0.5).all() and (ratio < 1.5).all()

    def test_saturation_moves_colours_and_keeps_grey(self) -> None:
        x = pictures((3, 8, 8), dtype=torch.float32) / 4 + 96
        moved = changed(Policy(saturation=0.9), x)
        luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
        torch.testing.assert_close((moved * luma).sum(1), (x * luma).sum(1), atol=1e-2, rtol=0)
        assert not torch.allclose(moved, x)
        grey = x[:, :1].expand(-1, 3, -1, -1)
        torch.testing.assert_close(changed(Policy(saturation=0.9), grey), grey)

    def test_saturation_leaves_pictures_of_one_channel(self) -> None:
        x = pictures((1, 8, 8))
        assert torch.equal(changed(Policy(saturation=1.0), x), x)

    def test_noise_is_at_most_its_strength(self) -> None:
        x = torch.full((200, 1, 16, 16), 128.0)
        spread = changed(Policy(noise=0.1), x).std((1, 2, 3)) / 255
        assert spread.max() < 0.12 and spread.max() > 0.08 and spread.min() < 0.02

    @pytest.mark.parametrize("shape", SHAPES)
    def test_blur_is_scipys_gaussian_with_each_samples_own_width(self, shape: tuple[int, int, int]) -> None:
        x, sigma = pictures(shape, count=3, dtype=torch.float32), torch.tensor([0.0, 0.7, 2.0])
        blurred = blur(x, sigma, 2.0)
        for number, width in enumerate(sigma.tolist()):
            radius = 6  # as far as the batch's widest kernel reaches
            wanted = (
                gaussian_filter(x[number].numpy(), (0, width, width), mode="nearest", radius=radius)
                if width
                else x[number]
            )
            np.testing.assert_allclose(blurred[number], wanted, atol=0.02)

    def test_blur_wider_than_the_picture_still_blurs(self) -> None:
        x = pictures((1, 5, 5))
        assert changed(Policy(blur=16.0), x).float().std() < x.float().std()

    @given(largest=st.floats(0.05, 0.9))
    def test_erase_covers_a_rectangle_of_at_most_its_share_with_the_mean(self, largest: float) -> None:
        x = pictures((3, 40, 60), count=20, dtype=torch.float32)
        erased = changed(Policy(erase=largest), x, seed=int(largest * 1e6))
        gone = (erased != x).any(1)
        mean = x.mean((2, 3))[:, :, None, None].expand_as(x)
        assert gone.float().mean((1, 2)).max() <= largest + 0.06  # a row and a column of pixels
        torch.testing.assert_close(erased[gone[:, None].expand_as(x)], mean[gone[:, None].expand_as(x)])
        for mask in gone:
            rows, columns = mask.any(1), mask.any(0)
            assert torch.equal(mask, rows[:, None] & columns[None, :])


class TestEveryOperation:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
    @pytest.mark.parametrize("name", STRONG)
    def test_shape_type_and_range_are_kept_and_a_seed_repeats(
        self, name: str, dtype: torch.dtype, shape: tuple[int, ...]
    ) -> None:
        x = pictures(shape, dtype=dtype)
        before = x.clone()
        policy = Policy(**{name: STRONG[name]})
        first, again, other = changed(policy, x), changed(policy, x), changed(policy, x, seed=1)
        assert (first.shape, first.dtype) == (x.shape, x.dtype)
        assert first.amin() >= 0 and first.amax() <= 255
        assert torch.equal(first, again)
        assert torch.equal(x, before), "the samples that went in are as they were"
        assert torch.equal(first, other) == (name == "saturation" and shape[0] == 1)

    @pytest.mark.parametrize("name", [name for name in STRONG if not name.startswith("flip")])
    def test_equal_samples_of_a_batch_come_out_different(self, name: str) -> None:
        x = pictures((3, 24, 24), count=1).expand(6, -1, -1, -1)
        out = changed(Policy(**{name: STRONG[name]}), x)
        assert all(not torch.equal(out[0], one) for one in out[1:])

    def test_a_policy_that_is_off_hands_the_batch_on(self) -> None:
        x = pictures((1, 8, 8))
        assert changed(Policy(), x) is x

    @given(values=strengths, seed=st.integers(0, 2**32))
    def test_any_mixture_stays_in_range_and_agrees_for_bytes_and_floats(
        self, values: dict[str, float], seed: int
    ) -> None:
        x, policy = pictures((3, 12, 9), count=4), Policy(**values)
        as_bytes, as_floats = changed(policy, x, seed), changed(policy, x.float(), seed)
        assert as_bytes.dtype == torch.uint8
        assert (as_bytes.float() - as_floats).abs().max() <= 0.501

    def test_switching_an_operation_on_leaves_the_others_draws(self) -> None:
        x = spot((1, 32, 32), 15.5, 15.5).expand(6, -1, -1, -1)
        plain, lit = changed(Policy(translate=0.2), x), changed(Policy(translate=0.2, brightness=0.3, shear=0.001), x)
        for number in range(6):
            assert centre_of(lit[number : number + 1]) == pytest.approx(centre_of(plain[number : number + 1]), abs=0.05)

    def test_draws_are_uniform_and_each_samples_own(self) -> None:
        draws = draw(4000, Generator().manual_seed(0))
        assert draws.shape == (len(DRAWS), 4000)
        assert (draws.mean(1) - 0.5).abs().max() < 0.03
        assert np.abs(np.corrcoef(draws.numpy()) - np.eye(len(DRAWS))).max() < 0.1

    def test_autocast_around_it_changes_nothing(self) -> None:
        x, policy = pictures((3, 16, 16)), Policy(**STRONG)
        plain = changed(policy, x)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(changed(policy, x), plain)

    def test_strengths_at_their_bounds_give_finite_values(self) -> None:
        most = Policy(
            crop=0.9, rotate=180.0, flip=1.0, flip_vertical=1.0, translate=1.0, scale=0.9, shear=60.0, brightness=1.0,
            contrast=1.0, saturation=1.0, noise=1.0, blur=16.0, erase=0.9,
        )  # fmt: skip
        out = changed(most, pictures((3, 16, 12), count=32, dtype=torch.float32))
        assert torch.isfinite(out).all() and math.isclose(float(out.clamp(0, 255).sub(out).abs().max()), 0)
