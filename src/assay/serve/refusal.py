"""What a client did wrong, with the status that HTTP has for it. Owns nothing else; answers nobody."""


class Refusal(Exception):
    """A request that is not answered: a status of HTTP from 400 on, and a sentence with what would be right."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence
