"""Rules of descent and the rate of every step."""

import copy
import inspect
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.descent import decay_weights, make_optimizer, rate_at, set_rate
from assay.params import Optimizer, OptimizerName, Schedule, ScheduleName

NAMES = list(OptimizerName.__args__)


def groups_of(weight: torch.Tensor, bias: torch.Tensor) -> list[dict[str, object]]:
    return [
        {"params": [weight], "lr": 0.1, "lr_scale": 1.0, "decays": True},
        {"params": [bias], "lr": 0.05, "lr_scale": 0.5, "decays": False},
    ]


@pytest.mark.parametrize("name", NAMES)
class TestEveryOptimizer:
    def test_goes_downhill(self, name: str) -> None:
        weight, bias = (torch.full((4,), 2.0, requires_grad=True) for _ in range(2))
        optimizer = make_optimizer(Optimizer(name=name, lr=0.02), groups_of(weight, bias))

        def loss() -> torch.Tensor:
            return (weight**2).sum() + (bias**2).sum()

        before = loss().item()
        for _ in range(20):
            optimizer.zero_grad()
            loss().backward()
            set_rate(optimizer, 0.02)
            optimizer.step()
        assert loss().item() < before

    def test_decays_weights_alike_and_biases_never(self, name: str) -> None:
        weight, bias = (torch.ones(3, requires_grad=True) for _ in range(2))
        optimizer = make_optimizer(Optimizer(name=name, lr=0.1), groups_of(weight, bias))
        decay_weights(optimizer, 0.5)
        torch.testing.assert_close(weight.detach(), torch.full((3,), 0.95))
        assert bias.tolist() == [1, 1, 1]

    def test_steps_as_torch_does_and_continues_from_a_saved_state(self, name: str) -> None:
        settings = Optimizer(name=name, lr=0.05)
        ours, torchs = (torch.linspace(-1, 1, 6).requires_grad_() for _ in range(2))
        optimizer = make_optimizer(settings, groups_of(ours, torch.zeros(1, requires_grad=True)))
        peer = type(optimizer).__mro__[1](groups_of(torchs, torch.zeros(1, requires_grad=True)))
        kept = copy.deepcopy(optimizer.state_dict())
        peer.load_state_dict(kept)  # its rates and momenta
        for number in range(4):
            for weight, stepping in ((ours, optimizer), (torchs, peer)):
                stepping.zero_grad()
                (weight**2).sum().backward()
                stepping.step()
            if number == 1:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        assert torch.equal(ours, torchs)


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_is_fused_where_torch_can(name: str) -> None:
    optimizer = make_optimizer(Optimizer(name=name), groups_of(*(torch.ones(2, requires_grad=True) for _ in range(2))))
    if "fused" in inspect.signature(type(optimizer).__mro__[1]).parameters:
        assert all(group["fused"] for group in optimizer.param_groups)


def test_no_optimizer_of_torch_imports_what_torch_compiles_with() -> None:
    """Each worker would pay for it with 2 s and 150 MB; timm, where lion lives, does import it."""
    steps = f"""
import sys, torch
from assay.descent import make_optimizer
from assay.params import Optimizer
for name in {[name for name in NAMES if name != "lion"]}:
    weight = torch.ones(2, requires_grad=True)
    groups = [{{"params": [weight], "lr": 0.1, "lr_scale": 1.0, "decays": True}}]
    optimizer = make_optimizer(Optimizer(name=name), groups)
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", steps], check=True)


def test_plain_gradient_descent_is_one_step_along_the_gradient() -> None:
    weight, bias = torch.tensor([1.0], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    optimizer = make_optimizer(Optimizer(name="sgd", lr=0.1), groups_of(weight, bias))
    (3 * weight).sum().backward()
    optimizer.step()
    assert weight.item() == pytest.approx(0.7)


def test_a_group_learns_at_its_own_scale() -> None:
    weight, bias = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    optimizer = make_optimizer(Optimizer(name="sgd", lr=0.1), groups_of(weight, bias))
    (weight + bias).sum().backward()
    set_rate(optimizer, 0.2)
    optimizer.step()
    assert (weight.item(), bias.item()) == (pytest.approx(0.8), pytest.approx(0.9))


@given(
    name=st.sampled_from(ScheduleName.__args__),
    warmup=st.floats(0, 5),
    epochs=st.integers(1, 12),
    steps=st.integers(1, 20),
)
def test_every_schedule_stays_between_zero_and_the_highest_rate(
    name: str, warmup: float, epochs: int, steps: int
) -> None:
    schedule = Schedule(name=name, warmup=warmup, step_epochs=3)
    rates = [rate_at(step, 0.3, schedule, epochs, steps) for step in range(epochs * steps)]
    assert all(0 <= rate <= 0.3 * (1 + 1e-12) for rate in rates)
    assert rates[0] > 0


def test_warm_up_rises_by_equal_steps_to_the_highest_rate() -> None:
    rates = [rate_at(step, 1.0, Schedule(name="constant", warmup=2), 4, 2) for step in range(8)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_step_drops_by_its_factor_at_its_epochs() -> None:
    schedule = Schedule(name="step", step_epochs=2, step_factor=0.5)
    assert [rate_at(step, 1.0, schedule, 6, 1) for step in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_one_cycle_rises_for_a_third_and_ends_near_nothing() -> None:
    rates = [rate_at(step, 1.0, Schedule(name="one_cycle"), 10, 10) for step in range(100)]
    assert rates.index(max(rates)) == 29
    assert rates[-1] < 1e-4 < rates[0] < 0.1


def test_cosine_is_half_way_in_the_middle() -> None:
    assert rate_at(50, 1.0, Schedule(name="cosine"), 10, 10) == pytest.approx(0.5)
