"""The version, which is that of the C++ library. `python/tests/test_package.py` compares them."""

__version__ = "0.1.0"
