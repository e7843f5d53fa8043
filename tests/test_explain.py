"""Each sample is explained for its own output, and beside it stands where the network looked."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from torch import Tensor, nn

from assay.explain import attributions, where_it_looked
from assay.modality import of
from assay.sheet import Cell, Row, draw_sheet


class Halves(nn.Module):
    """Output 0 sees the left half, output 1 the right half."""

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        middle = x.shape[-1] // 2
        return torch.stack([x[..., :middle].mean((1, 2, 3)), x[..., middle:].mean((1, 2, 3))], 1)


X = torch.randint(0, 256, (4, 1, 8, 10), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LENGTH = torch.full((4,), 10)


def test_each_sample_is_explained_for_its_own_output() -> None:
    weights = attributions("image", Halves(), X, LENGTH, [1, 0, 0, 1])
    for number, output in enumerate([1, 0, 0, 1]):
        left, right = weights[number, :, :5].abs().sum(), weights[number, :, 5:].abs().sum()
        assert (left == 0) == (output == 1) and (right == 0) == (output == 0)
        torch.testing.assert_close(
            weights[number], of("image").attribute(Halves(), X[number : number + 1], LENGTH[:1], output)[0]
        )


def test_the_sheet_has_a_pair_and_a_caption_a_sample() -> None:
    figure = where_it_looked("image", Halves(), X, LENGTH, [0, 1, 0, 1], [f"said {n}" for n in range(4)], "Mistakes")
    assert len(figure.images) == 8
    assert [text.get_text() for text in figure.texts] == ["Mistakes", "said 0", "said 1", "said 2", "said 3"]


def test_more_samples_than_fit_beside_each_other_go_on_below() -> None:
    one, many = (
        where_it_looked("image", Halves(), X.repeat(n, 1, 1, 1), LENGTH.repeat(n), [0] * 4 * n, [""] * 4 * n, "")
        for n in (1, 2)
    )
    assert many.get_size_inches()[1] > one.get_size_inches()[1] + 1


@pytest.mark.parametrize("columns", [(), ("original", "copy 1")])
def test_nothing_on_a_sheet_is_cut_off_or_drawn_over(columns: tuple[str, ...]) -> None:
    words = "a name that is rather long, with a $"
    many = "\n".join([words] * 9)
    rows = [Row(words, [Cell(X[0], caption=many), None]), Row(many, [Cell(X[1], caption=words), Cell(X[2])])]
    figure = draw_sheet("image", rows, columns, "A title that says what is seen\nand a second line of it")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    for image in figure.images:  # a figure's image does not know its own extent
        height, width = image.get_array().shape[:2]
        boxes.append(Bbox.from_bounds(image.ox, image.oy, width, height))
    whole = figure.bbox
    for number, box in enumerate(boxes):
        assert box.x0 >= whole.x0 - 1 and box.x1 <= whole.x1 + 1 and box.y0 >= whole.y0 - 1 and box.y1 <= whole.y1 + 1
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
    assert np.array(canvas.buffer_rgba()).std() > 0
