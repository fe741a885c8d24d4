"""The scores of the bundle that answered."""

import pytest
from scripted_server import Model, images, site

from edgecnn import Client, Prediction
from edgecnn.errors import ServerError


def test_scores_follow_a_new_bundle():
    model = Model()
    with site(model) as found, Client(found.url) as client:
        (plain,) = client.predictions(images(1))
        assert isinstance(plain, Prediction)
        assert (plain.labels, plain.probability) == (("b",), pytest.approx(0.9867, abs=1e-4))
        model.scores, model.digest = {"activation": "sigmoid", "multi_label": True, "threshold": 0.5}, f"{2:064x}"
        (several,) = client.predictions(images(1))
        assert isinstance(several, Prediction)
        assert several.probability == pytest.approx(0.9933, abs=1e-4)
        assert several.labels == ("b", "a", "c")  # the other logits are 0, whose sigmoid is the threshold


@pytest.mark.parametrize("scores", [{"activation": "relu"}, {"temperature": 2.0}, None, [], {"multi_label": True}])
def test_rejects_scores_of_later_versions(scores: object):
    class Later(Model):
        def card(self) -> dict:
            return super().card() | {"scores": scores}

    message = "expected scores of this version in the model's card"
    with site(Later()) as found, Client(found.url) as client, pytest.raises(ServerError, match=message):
        client.predict(images(1)[0])
