"""Failures inside the shared contract are shown with their values, too."""

import pytest

pytest.register_assert_rewrite("tests.services.esp_contract", "tests.services.ses_contract")
