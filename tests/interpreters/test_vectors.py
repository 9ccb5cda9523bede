"""The vectors that no pair translates, since every platform of their shape is carried: the official SDK reads them as they are."""

import pytest
from openai import BaseModel, types

from tests.interpreters.vectors import vectors


@pytest.mark.parametrize(
    ("name", "kind"),
    [("O-EMB", types.CreateEmbeddingResponse), ("O-IMG", types.ImagesResponse), ("O-VIDEO", types.Video)],
)
def test_a_carried_answer_is_read_by_the_sdk_as_it_is(name: str, kind: type[BaseModel]) -> None:
    said = vectors()[name].json
    assert kind.model_validate(said, strict=False).model_dump(mode="json", exclude_unset=True) == said


def test_the_events_of_a_carried_picture_are_read_by_the_sdk() -> None:
    vector = vectors()["O-IMG-SSE"]
    partial, completed = (event.data for event in vector.events)
    assert types.ImageGenPartialImageEvent.model_validate(partial).type == "image_generation.partial_image"
    assert types.ImageGenCompletedEvent.model_validate(completed).type == "image_generation.completed"
    assert vector.expect["expect"] == "image_generation.partial_image,image_generation.completed"
