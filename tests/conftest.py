"""What holds for all tests."""

from hypothesis import settings

# A deadline for an example says more about the machine than about the code.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
