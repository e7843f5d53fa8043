"""Looks for drift in a real database: numbered without a gap, by whoever looks, and the same samples paid once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.drift import Drift, Finding, alpha_of_look
from assay.errors import InputError
from assay.registry.drifts import Looks


@pytest.fixture
def looks(where: str, request: pytest.FixtureRequest) -> Iterator[Looks]:
    found = Looks(where, request.node.name[:200])
    yield found
    found.close()


def judged(number: int) -> Drift:
    alpha = alpha_of_look(0.05, number)
    finding = Finding("cat", 0.5, alpha / 2, 0.1, -0.01)
    return Drift(30, 20, alpha, (finding,), finding, ("a.png",), None)


class TestLooks:
    def test_are_numbered_in_order_under_each_version(self, looks: Looks) -> None:
        made = [looks.look(1, "photos", f"data {number}", judged) for number in range(3)]
        assert [one.number for one in made] == [1, 2, 3]
        assert [one.drift.alpha for one in made] == [alpha_of_look(0.05, number) for number in (1, 2, 3)]
        assert looks.look(2, "photos", "data 0", judged).number == 1
        assert looks.of(1) == made

    def test_the_same_samples_are_looked_at_once(self, looks: Looks) -> None:
        first = looks.look(1, "photos", "data", judged)

        def never(_number: int) -> Drift:
            raise AssertionError("judged again")

        again = looks.look(1, "elsewhere", "data", never)
        assert again.again and not first.again
        assert (again.number, again.drift, again.source) == (1, first.drift, "photos")
        assert len(looks.of(1)) == 1

    def test_a_look_that_dies_while_it_judges_costs_nothing(self, looks: Looks) -> None:
        def dies(_number: int) -> Drift:
            raise MemoryError("killed")

        with pytest.raises(MemoryError, match="killed"):
            looks.look(1, "photos", "data", dies)
        assert looks.of(1) == []
        assert looks.look(1, "photos", "data", judged).number == 1

    def test_two_at_once_take_two_numbers(self, looks: Looks, where: str, request: pytest.FixtureRequest) -> None:
        both, numbers = threading.Barrier(2, timeout=60), []

        def one(name: str) -> None:
            asked: list[int] = []

            def slowly(number: int) -> Drift:
                asked.append(number)
                if len(asked) == 1:
                    both.wait()  # both have seen the same number of looks
                return judged(number)

            mine = Looks(where, request.node.name[:200])
            try:
                numbers.append((mine.look(1, name, name, slowly).number, asked))
            finally:
                mine.close()

        threads = [threading.Thread(target=one, args=(name,)) for name in ("here", "there")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(numbers) == [(1, [1]), (2, [1, 2])]
        assert [look.drift.alpha for look in looks.of(1)] == [alpha_of_look(0.05, 1), alpha_of_look(0.05, 2)]

    def test_models_have_looks_of_their_own(self, looks: Looks, where: str) -> None:
        other = Looks(where, "another model of the same store")
        try:
            looks.look(1, "photos", "data", judged)
            assert other.of(1) == []
        finally:
            other.close()

    def test_a_database_that_is_none_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file.db").write_text("this is a text and no database, however one looks at it")
        with pytest.raises(InputError, match=r"promote\.storage is .*which cannot be used"):
            Looks(f"sqlite:///{tmp_path / 'file.db'}", "model")
