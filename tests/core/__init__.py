"""Tests of the core. What asserts outside of a test module is to say as much as a test does."""

import pytest

pytest.register_assert_rewrite("tests.core.oracle_compare", "tests.core.invariants")
