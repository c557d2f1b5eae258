"""The watcher of a run: shows every row to the rules, and says each thing once until it is worth repeating."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from foveal.diagnosis.finding import Finding
from foveal.diagnosis.health import feeding, learning, matching, validating
from foveal.diagnosis.health.history import ROW_PICTURES, ROW_STEPS, History, Kind, Row, RunFacts

Rule = Callable[[History, RunFacts], Finding | None]
RULES: dict[Kind, tuple[Rule, ...]] = {
    "train": (*matching.RULES, *learning.RULES, *feeding.RULES),
    "validation": validating.RULES,
    "epoch": matching.EPOCH_RULES,
    "unfinished": (),
}
"""Those that look at a row, by its kind."""
AGAIN = 4
"""A warning that still holds comes again when so many times the steps have been done."""
INSTEAD = {"boxes_without_anchor": "pictures_without_positives", "loss_not_falling": "learning_rate_too_high"}
"""The first is left unsaid where the second has been said: it says the same of less."""


class HealthWatch:
    """A ``Watcher`` of the engine: (step, epoch, row of metrics.csv) -> findings."""

    def __init__(self, facts: RunFacts) -> None:
        self.facts = facts
        self.history = History(max(ROW_STEPS, -(-ROW_PICTURES // facts.pictures_per_step)))
        self._said: dict[str, int] = {}

    def __call__(self, step: int, epoch: int, values: Mapping[str, float]) -> Sequence[Finding]:
        """What there is to say of a row that was not said lately."""
        rules = RULES[self.history.add(Row(step, epoch, values))]
        found = [finding for rule in rules if (finding := rule(self.history, self.facts)) is not None]
        return [finding for finding in found if self._is_due(finding, step)]

    def _is_due(self, finding: Finding, step: int) -> bool:
        if INSTEAD.get(finding.rule) in self._said:
            return False
        if finding.rule in self._said and step < AGAIN * self._said[finding.rule]:
            return False
        self._said[finding.rule] = max(1, step)
        return True
