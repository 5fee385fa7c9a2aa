"""A host's decisions under random events: a model of the world plays the engines and clients."""

from hypothesis import settings

from tests.engine.host_world import HostWorld

HostWorld.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestAnyOrderOfEvents = HostWorld.TestCase
