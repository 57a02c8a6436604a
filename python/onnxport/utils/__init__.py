"""Helpers of configurations: normalized configurations, generators of dummy inputs."""

from .input_generators import *  # noqa: F403
from .input_generators import __all__ as _generators
from .normalized_config import *  # noqa: F403
from .normalized_config import __all__ as _configs

__all__ = [*_generators, *_configs]
