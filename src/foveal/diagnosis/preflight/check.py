"""Before the long run: memory, and whether this model can learn eight of these pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from foveal.build import build_records
from foveal.config.load import data_of
from foveal.config.schema import AdamW, Config
from foveal.data.records import Records
from foveal.diagnosis.finding import Finding
from foveal.diagnosis.preflight.attempt import (
    PASS,
    REFERENCE_RATE,
    STEPS,
    Attempt,
    Bench,
    own,
    reference,
)
from foveal.diagnosis.preflight.case import Case, backbone_features, make_case
from foveal.diagnosis.preflight.causes import after_findings, rate_finding
from foveal.diagnosis.preflight.labels import degenerate_findings, lying_findings, matching_findings
from foveal.diagnosis.preflight.memory import MemoryEstimate, estimate_memory, memory_findings
from foveal.diagnosis.preflight.pixels import pixel_findings
from foveal.engine.console import duration
from foveal.engine.optim import peak_rate

Say = Callable[[str], None]
PROBE_STEPS = 30
"""Of the configuration's own optimiser, where it is not like the reference."""
NEAR = 4.0
"""An AdamW whose rate is within this factor of the reference's is tested itself."""


class PreflightResult(NamedTuple):
    """What was found before a run."""

    memory: MemoryEstimate | None
    ap50: float | None
    """Of the eight pictures; None where the test was not made, or a cause was found before it."""
    steps: int
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Nothing was found that would spoil the run."""
        return not any(finding.severity == "error" for finding in self.findings) and (
            self.ap50 is None or self.ap50 > PASS
        )

    def lines(self) -> list[str]:
        """The result, for a person."""
        lines = self.memory.lines() if self.memory is not None else []
        if self.ap50 is not None:
            verdict = "passed" if self.passed else "failed"
            lines.append(
                f"overfit test {verdict}: AP50 {self.ap50:.3f} on its own pictures after {self.steps} steps "
                f"({duration(self.seconds)})"
            )
        for finding in self.findings:
            where = f" [{finding.where}]" if finding.where else ""
            fix = f"; {finding.fix}" if finding.fix else ""
            lines.append(f"{finding.severity}: {finding.rule}: {finding.message}{fix}{where}")
        return lines


def preflight(
    config: Config,
    records: Records | None = None,
    *,
    memory: bool = True,
    overfit: bool = True,
    steps: int = STEPS,
    say: Say = lambda line: None,
) -> PreflightResult:
    """Check a configuration on its own training pictures; nothing is written.

    records: the training set, where it was read before. steps: of the overfit test, at most.
    say: is told the time that it will take, and how it goes. DataError where no picture can be used.
    """
    data = data_of(config)
    records = build_records(data.train, data.classes, data.strict) if records is None else records
    estimate = estimate_memory(config, len(records.classes.names)) if memory else None
    findings = memory_findings(estimate) if estimate is not None else []
    if not overfit:
        return PreflightResult(estimate, None, 0, 0.0, tuple(findings))
    began = time.monotonic()
    attempt, found = overfit_case(make_case(config, records), steps, say)
    return PreflightResult(
        estimate,
        None if attempt is None else attempt.ap50,
        0 if attempt is None else len(attempt.losses),
        time.monotonic() - began,
        (*findings, *found),
    )


def overfit_case(
    case: Case, steps: int = STEPS, say: Say = lambda line: None
) -> tuple[Attempt | None, list[Finding]]:
    """Learn the pictures of a case by heart; why not, where it fails. None: there was no sense in trying."""
    findings = [
        *pixel_findings(case.config.model, case.batch.images),
        *degenerate_findings(case),
        *lying_findings(case),
    ]
    bench = Bench(case, backbone_features(case))
    findings += matching_findings(case, bench.loss())
    if any(
        finding.rule in ("no_positives", "box_order") and finding.severity == "error" for finding in findings
    ):
        return None, findings
    pictures = len(case.batch.images)
    seconds = bench.seconds_per_step()
    near = _is_near(case.config)
    say(
        f"overfit test: {pictures} pictures, at most {steps} steps of neck and head at {seconds:.2f} s: "
        f"about {duration(steps * seconds * 1.15)}, less where it passes early"
    )
    settings = own(case.config.training, pictures) if near else reference(case.config.training, pictures)
    attempt = bench.run(settings, steps, say)
    if attempt.ap50 <= PASS and near and not _moved(attempt):
        again = bench.run(reference(case.config.training, pictures), steps, say)
        if again.ap50 > PASS and (finding := _judge_rate(case, attempt, again, pictures)):
            return attempt, [*findings, finding]
        attempt = again
    if attempt.ap50 <= PASS:
        return attempt, findings + after_findings(case, attempt, len(attempt.losses))
    if not near:
        known = _rate(case, pictures, known=True)
        say(f"passed with AdamW at {known:.2g}; now {PROBE_STEPS} steps of the config's own")
        probe = bench.run(own(case.config.training, pictures), min(PROBE_STEPS, steps), say, measure=False)
        finding = _judge_rate(case, probe, attempt, pictures)
        findings += [finding] if finding is not None else []
    return attempt, findings


def _is_near(config: Config) -> bool:
    chosen = config.training.optimizer
    return isinstance(chosen, AdamW) and REFERENCE_RATE / NEAR <= chosen.lr_per_16 <= REFERENCE_RATE * NEAR


def _moved(attempt: Attempt) -> bool:
    return not attempt.diverged and attempt.losses[-1] < 0.7 * attempt.losses[0]


def _rate(case: Case, pictures: int, known: bool) -> float:
    settings = (reference if known else own)(case.config.training, pictures)
    return peak_rate(settings)


def _judge_rate(case: Case, tried: Attempt, good: Attempt, pictures: int) -> Finding | None:
    rates = _rate(case, pictures, known=False), _rate(case, pictures, known=True)
    return rate_finding(tried, [x for x in good.losses if math.isfinite(x)], *rates)
