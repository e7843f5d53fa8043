"""What every room must hold, a stranger's too: subclass `ModalityContract`, give it a `Room` (see test_modality.py)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import Generator, Tensor
from torch.nn import Module

from assay import modality
from assay.modality import Modality, Sample, Unreadable
from assay.models import Model, build_model
from assay.params import Data, Policy, Recipe

SEVERITIES = range(1, 6)


@dataclass(frozen=True)
class Room:
    """A modality with real samples to try it on."""

    name: str
    how: Data  # settings under which the samples are decoded
    good: Mapping[str, bytes]  # at least three files of different content
    faulty: Mapping[str, bytes]  # what is wrong → a file that has it
    policy: Policy  # every strength that means something here, at which each sample looks different
    backbones: tuple[str, ...]  # small ones, and those written here
    modality: Modality = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modality", modality.of(self.name))

    @property
    def samples(self) -> list[Sample]:
        return [self.modality.decode(raw, self.how) for raw in self.good.values()]

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """All good samples: x and lengths."""
        x = torch.from_numpy(np.stack([sample.array for sample in self.samples]))
        return x, torch.tensor([sample.length for sample in self.samples])

    @property
    def strengths(self) -> list[str]:
        return [name for name in Policy.model_fields if getattr(self.policy, name)]

    def model(self, backbone: str, seed: int = 0) -> Model:
        torch.manual_seed(seed)
        return build_model(Recipe(backbone=backbone), self.modality.spec(self.how), 3, None).eval()

    def changed(self, policy: Policy, x: Tensor, length: Tensor, seed: int = 0) -> Tensor:
        return self.modality.augment(policy)(x, length, Generator().manual_seed(seed))


def shuffled(model: Module) -> Module:
    """The same weights in another order, tensor by tensor."""
    order = Generator().manual_seed(5)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(weights.flatten()[torch.randperm(weights.numel(), generator=order)].view_as(weights))
    return model


class ModalityContract:
    """Over all rooms; the fixture `room` gives one."""

    @pytest.fixture
    def seen(self, room: Room) -> Iterator[tuple[Tensor, Tensor]]:
        """A batch of real samples, which no verb may write into."""
        x, length = room.batch
        before = x.clone(), length.clone()
        yield x, length
        assert torch.equal(x, before[0]) and torch.equal(length, before[1])

    def test_it_goes_by_its_name_and_says_what_a_sample_is_called(self, room: Room) -> None:
        assert room.modality.name == room.name
        assert room.modality.suffixes
        assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in room.modality.suffixes)

    def test_what_it_decodes_is_what_its_spec_says(self, room: Room) -> None:
        spec = room.modality.spec(room.how)
        assert spec.modality == room.name and len(spec.axes) == len(spec.shape) == len(set(spec.axes))
        for sample in room.samples:
            assert (sample.array.shape, sample.array.dtype.name) == (spec.shape, spec.dtype)
            assert 0 < sample.length <= max(spec.shape)

    def test_decoding_repeats(self, room: Room) -> None:
        for first, again in zip(room.samples, room.samples, strict=True):
            assert np.array_equal(first.array, again.array) and first.length == again.length

    def test_each_faulty_file_raises_one_sentence(self, room: Room) -> None:
        assert room.faulty
        for fault, raw in room.faulty.items():
            with pytest.raises(Unreadable, match=r"^[^\n]{5,200}$") as caught:
                room.modality.decode(raw, room.how)
            assert not str(caught.value).endswith("."), f"{fault}: it stands within a sentence"

    def test_a_fingerprint_follows_from_the_content(self, room: Room) -> None:
        first, again = ([room.modality.fingerprint(sample) for sample in room.samples] for _ in range(2))
        assert first == again
        assert len({len(bits) for bits in first}) == 1, "they can be compared bit by bit"
        assert len(set(first)) == len(first)

    def test_checks_say_a_kind_and_a_reason(self, room: Room) -> None:
        for sample in room.samples:
            for finding in room.modality.check(sample, room.how):
                assert finding.kind.isidentifier() and finding.why

    def test_a_policy_that_is_off_changes_nothing(self, room: Room, seen: tuple[Tensor, Tensor]) -> None:
        assert torch.equal(room.changed(Policy(), *seen), seen[0])

    def test_augment_keeps_shape_and_type_and_repeats_under_a_seed(
        self, room: Room, seen: tuple[Tensor, Tensor]
    ) -> None:
        x, length = seen
        for name in room.strengths:
            policy = Policy(**{name: getattr(room.policy, name)})
            first, again = room.changed(policy, x, length), room.changed(policy, x, length)
            assert (first.shape, first.dtype) == (x.shape, x.dtype), name
            assert torch.equal(first, again), name
        assert not torch.equal(room.changed(room.policy, x, length, 0), room.changed(room.policy, x, length, 1))

    def test_each_sample_of_a_batch_has_its_own_draw(self, room: Room, seen: tuple[Tensor, Tensor]) -> None:
        x, length = (whole[:1].repeat(6, *[1] * (whole.ndim - 1)) for whole in seen)
        out = room.changed(room.policy, x, length)
        assert not any(torch.equal(out[0], other) for other in out[1:])

    def test_there_are_at_least_two_corruptions_and_severity_0_is_the_identity(
        self, room: Room, seen: tuple[Tensor, Tensor]
    ) -> None:
        corruptions = room.modality.corruptions()
        assert len(corruptions) >= 2
        for corrupt in corruptions.values():
            assert torch.equal(corrupt(*seen, 0), seen[0])

    def test_corruptions_keep_shape_and_type_repeat_and_grow(self, room: Room, seen: tuple[Tensor, Tensor]) -> None:
        x, length = seen
        for name, corrupt in room.modality.corruptions().items():
            harm = [0.0]
            for severity in SEVERITIES:
                out = corrupt(x, length, severity)
                assert (out.shape, out.dtype) == (x.shape, x.dtype), name
                assert torch.equal(out, corrupt(x, length, severity)), name
                alone = torch.cat([corrupt(x[i : i + 1], length[i : i + 1], severity) for i in range(len(x))])
                assert torch.equal(out, alone), f"{name}: a sample's damage is not its batch's"
                harm.append(float((out.double() - x.double()).abs().mean()))
            assert harm == sorted(harm) and harm[-1] > harm[1] > 0, f"{name}: {harm}"

    def test_features_is_how_many_features_a_backbone_gives(self, room: Room, seen: tuple[Tensor, Tensor]) -> None:
        spec = room.modality.spec(room.how)
        for name in room.backbones:
            backbone = room.modality.backbones()[name]
            assert backbone.name == name
            assert backbone.smallest(spec) <= max(spec.shape)
            module = backbone.build(spec, None, None, None).eval()
            with torch.inference_mode():
                assert module(*seen).shape == (len(seen[0]), module.features), name

    def test_stages_name_each_weight_of_a_backbone_once_from_input_to_output(self, room: Room) -> None:
        for name in room.backbones:
            module = room.modality.backbones()[name].build(room.modality.spec(room.how), None, None, None)
            named = [weight for stage in module.stages for weight in stage]
            assert len(named) == len(set(named)), name
            assert set(named) == {weight for weight, _ in module.named_parameters()}, name

    def test_attribution_gives_one_weight_a_place(self, room: Room, seen: tuple[Tensor, Tensor]) -> None:
        x, length = seen
        weights = room.modality.attribute(room.model(room.backbones[0]), x, length, 1)
        places = x.shape[2:] if x.ndim > 2 else x.shape[1:]  # an axis of channels is no place
        assert weights.shape == (len(x), *places)
        assert weights.is_floating_point() and torch.isfinite(weights).all() and not weights.requires_grad

    def test_attribution_changes_when_weights_are_shuffled(self, room: Room, seen: tuple[Tensor, Tensor]) -> None:
        model = room.model(room.backbones[0])
        before = room.modality.attribute(model, *seen, 1)
        assert torch.allclose(before, room.modality.attribute(model, *seen, 1)), "else any change is no sign"
        after = room.modality.attribute(shuffled(model), *seen, 1)
        for one, other in zip(before.flatten(1), after.flatten(1), strict=True):
            assert float(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 0.9

    def test_attribution_leaves_the_model_as_it_was(self, room: Room, seen: tuple[Tensor, Tensor]) -> None:
        model = room.model(room.backbones[0]).train()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        room.modality.attribute(model, *seen, 0)
        assert model.training and all(weights.grad is None for weights in model.parameters())
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    def test_a_drawing_shows_the_sample_and_the_weights(self, room: Room, seen: tuple[Tensor, Tensor]) -> None:
        weights = room.modality.attribute(room.model(room.backbones[0]), *seen, 0)
        first, second, explained = (
            _pixels(room, seen[0][0], None), _pixels(room, seen[0][1], None), _pixels(room, seen[0][0], weights[0])
        )  # fmt: skip
        assert first.std() > 0 and not np.array_equal(first, second) and not np.array_equal(first, explained)


def _pixels(room: Room, x: Tensor, weights: Tensor | None) -> np.ndarray:
    canvas = FigureCanvasAgg(room.modality.draw(x, weights))
    canvas.draw()
    return np.array(canvas.buffer_rgba())
