"""What a scenario is: started once, measured in every round in turn with the others, stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod

Measured = dict[tuple[str, str], float]
"""(name, unit) → value."""

TRIVIAL = "export default { run(input) { return input } }"


class Scenario(ABC):
    """One scenario. `quick` makes a round as short as it can be and still show that all of it works."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick

    async def start(self) -> None:  # noqa: B027 - most need nothing
        """Set up what is not measured."""

    @abstractmethod
    async def measure(self) -> Measured:
        """Measure one round."""

    async def stop(self) -> None:  # noqa: B027 - likewise
        """Take everything down."""
