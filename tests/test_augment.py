"""Online: strengths scale and stop at their bounds, and mixing gives shares that fit what was mixed."""

import ast
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

import assay
from assay.augment import is_on, mix, online, strengthened
from assay.params import Online, Policy

SHAPES = [(8, 1, 10, 10), (6, 3, 8, 14), (5, 20), (4, 2, 6, 6, 6)]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def numbered(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Each sample is full of its own number."""
    return torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1)).expand(shape).to(dtype).contiguous() * 10


class TestOnline:
    def test_a_policy_that_is_off_is_none(self) -> None:
        assert online(Online(), "image") is None

    def test_strength_0_is_off(self) -> None:
        assert online(Online(rotate=30.0, strength=0.0), "image") is None

    def test_mixing_alone_transforms_nothing(self) -> None:
        assert online(Online(mixup=0.2, cutmix=1.0), "image") is None

    def test_what_it_gives_changes_a_batch_and_keeps_its_form(self) -> None:
        augment = online(Online(translate=0.3), "image")
        assert augment is not None
        x = torch.randint(0, 256, (4, 1, 12, 12), dtype=torch.uint8, generator=seeded())
        out = augment(x, torch.full((4,), 12), seeded())
        assert (out.shape, out.dtype) == (x.shape, x.dtype) and not torch.equal(out, x)

    @pytest.mark.parametrize("name", Policy.model_fields)
    def test_every_strength_is_multiplied_and_stops_at_its_bound(self, name: str) -> None:
        weak = strengthened(Online(**{name: 0.1}, strength=0.5))
        assert getattr(weak, name) == pytest.approx(0.05)
        most = strengthened(Online(**{name: 0.9}, strength=3.0))
        assert getattr(most, name) == pytest.approx({"rotate": 2.7, "shear": 2.7, "blur": 2.7}.get(name, _bound(name)))
        assert all(not getattr(weak, other) for other in Policy.model_fields if other != name)

    @pytest.mark.parametrize("name", Policy.model_fields)
    def test_any_strength_is_on(self, name: str) -> None:
        assert is_on(Policy(**{name: 0.01})) and not is_on(Policy())


def _bound(name: str) -> float:
    return 0.9 if name in ("crop", "scale", "erase") else 1.0


class TestMix:
    def test_off_hands_the_batch_on(self) -> None:
        x = numbered((4, 1, 5, 5))
        mixed, partner, share = mix(x, Online(), seeded())
        assert mixed is x and partner is None and share == 1.0

    @pytest.mark.parametrize("policy", [Online(mixup=0.4), Online(cutmix=1.0), Online(mixup=0.4, cutmix=1.0)])
    @pytest.mark.parametrize("shape", SHAPES)
    @given(seed=st.integers(0, 2**32))
    def test_the_share_is_what_each_sample_kept_of_itself(
        self, policy: Online, shape: tuple[int, ...], seed: int
    ) -> None:
        x = numbered(shape)
        mixed, partner, share = mix(x, policy, seeded(seed))
        assert partner is not None and sorted(partner.tolist()) == list(range(shape[0]))
        assert 0 <= float(share) <= 1
        wanted = share * x.flatten(1).mean(1) + (1 - share) * x[partner].flatten(1).mean(1)
        torch.testing.assert_close(mixed.flatten(1).mean(1), wanted, atol=1e-3, rtol=1e-4)

    @pytest.mark.parametrize("policy", [Online(mixup=0.4), Online(cutmix=1.0)])
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32, torch.bfloat16])
    def test_type_is_kept_and_a_seed_repeats(self, dtype: torch.dtype, policy: Online) -> None:
        x = numbered((6, 1, 8, 8), dtype)
        before = x.clone()
        first, again, other = (mix(x, policy, seeded(seed))[0] for seed in (1, 1, 2))
        assert first.dtype == dtype and torch.equal(first, again) and not torch.equal(first, other)
        assert torch.equal(x, before)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_cutmix_cuts_one_box_over_all_axes_but_batch_and_channel(self, shape: tuple[int, ...]) -> None:
        x = numbered(shape)
        for seed in range(20):
            mixed, partner, share = mix(x, Online(cutmix=1.0), seeded(seed))
            assert partner is not None
            paired = [row for row in range(shape[0]) if partner[row] != row]
            if not paired:  # each with itself: that may be drawn, too
                continue
            sample = paired[0]
            cut = mixed[sample] == x[partner[sample]]
            assert (cut | (mixed[sample] == x[sample])).all(), "nothing in between"
            places = cut if len(shape) == 2 else cut[0]
            assert (cut == places).all(), "the same box in every channel"
            box = torch.ones_like(places)
            for axis, side in enumerate(places.shape):
                hit = places.movedim(axis, 0).reshape(side, -1).any(1)
                box = box & hit.view(-1, *[1] * (places.ndim - axis - 1))
            assert torch.equal(box, places)
            assert float(share) == pytest.approx(1 - float(places.float().mean()), abs=1e-6)

    def test_both_take_turns(self) -> None:
        x = numbered((4, 1, 12, 12))
        boxes = 0
        for seed in range(60):
            mixed, partner, _share = mix(x, Online(mixup=1.0, cutmix=1.0), seeded(seed))
            boxes += bool(((mixed == x) | (mixed == x[partner])).all())
        assert 15 < boxes < 45

    def test_mixups_share_follows_beta(self) -> None:
        shares = torch.stack(
            [torch.as_tensor(mix(numbered((2, 3)), Online(mixup=2.0), seeded(s))[2]) for s in range(400)]
        )
        assert float(shares.mean()) == pytest.approx(0.5, abs=0.05)
        assert float(shares.var()) == pytest.approx(1 / 20, abs=0.015)  # Beta(2, 2)


@pytest.mark.parametrize("name", ["augment.py", "copies.py", "sheet.py", "explain.py"])
def test_outside_the_rooms_no_kind_of_sample_is_named(name: str) -> None:
    tree = ast.parse((Path(assay.__file__).parent / name).read_text(encoding="utf-8"))
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "image" not in words and not any(str(module).startswith("assay.image") for module in modules)
