"""What every test shares: one thread (small tensors), and floats of both widths."""

from __future__ import annotations

import hypothesis
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


# A slow machine is no failure: what a property test checks is the property.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
