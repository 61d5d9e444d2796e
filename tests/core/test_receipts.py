"""The answer to an event is written in few steps, and is what the encoder would write."""

import json

from hypothesis import given
from hypothesis import strategies as st

from hookd.api import views
from hookd.domain.events import DeliveryRef, Receipt
from hookd.domain.json_text import compact_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(Receipt, TEXTS, st.booleans(), st.lists(st.builds(DeliveryRef, TEXTS, TEXTS, TEXTS)).map(tuple))
)
def test_a_receipt_is_written_as_the_encoder_would(receipt: Receipt) -> None:
    written = views.receipt_json(receipt)
    assert written == compact_json(views.receipt(receipt)).encode()
    assert json.loads(written) == views.receipt(receipt)
