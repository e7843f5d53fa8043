"""Every room keeps the contract, and a room is found by its name."""

import io

import pytest
from PIL import Image

from assay import modality
from assay.errors import InputError
from assay.params import Data, Policy
from modality_contract import ModalityContract, Room
from samples import mnist


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _digits() -> dict[str, bytes]:
    images, _ = mnist()
    return {f"{row}.png": _png(Image.fromarray(images[row])) for row in (0, 900, 2600, 4100)}


def _photos() -> dict[str, bytes]:
    from sklearn.datasets import load_sample_images

    scenes = load_sample_images().images
    crops = [(0, (0, 0, 300, 200)), (0, (250, 100, 560, 420)), (1, (100, 40, 500, 400))]
    return {
        f"{number}.png": _png(Image.fromarray(scenes[scene]).crop(box)) for number, (scene, box) in enumerate(crops)
    }


def _faulty() -> dict[str, bytes]:
    whole = next(iter(_digits().values()))
    return {
        "empty": b"",
        "cut short": whole[: len(whole) // 2],
        "only a head": whole[:30],
        "text": "kein Bild, nur Wörter".encode(),
        "zeros": bytes(4096),
        "a damaged middle": whole[:60] + bytes(40) + whole[100:],
    }


GREY = Policy(
    crop=0.3, rotate=20.0, flip=0.5, flip_vertical=0.5, translate=0.2, scale=0.2, shear=10.0, brightness=0.5,
    contrast=0.5, noise=0.2, blur=1.0, erase=0.3,
)  # fmt: skip
COLOUR = GREY.model_copy(update={"saturation": 0.5})

ROOMS = [
    Room("image", Data(image_size=28, channels=1), _digits(), _faulty(), GREY, ("cnn", "mlp")),
    Room("image", Data(image_size=32, channels=3), _photos(), _faulty(), COLOUR, ("cnn", "mlp", "resnet10t")),
]


class TestRooms(ModalityContract):
    @pytest.fixture(params=ROOMS, ids=["grey digits", "colour photos"])
    def room(self, request: pytest.FixtureRequest) -> Room:
        room: Room = request.param
        return room


def test_an_unknown_room_is_said_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"data\.modality: 'imge' is not a kind of sample; did you mean 'image'\?"):
        modality.of("imge")
