"""Figures beside their goals."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that must not fall below ``least`` or, if it is given, rise above ``most``."""

    name: str
    figure: float
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the figure is within its bounds."""
        return (self.least is None or self.figure >= self.least) and (self.most is None or self.figure <= self.most)


def check(goals: list[Goal]) -> int:
    """Print every figure beside its goal; returns the exit code, 1 when one is missed."""
    for goal in goals:
        bound = f"at least {goal.least:.4g}" if goal.least is not None else f"at most {goal.most:.4g}"
        print(f"{'met   ' if goal.met else 'MISSED'}  {goal.name}: {goal.figure:.4g}, goal {bound}")
    return 0 if all(goal.met for goal in goals) else 1
