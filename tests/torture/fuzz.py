"""X2: requests that schemathesis makes from the server's own OpenAPI document, valid and not, for every address.

Its checks, on every answer: no 5xx at all (one client never meets a full queue), a status, content type, headers
and form as documented, wrong data refused, other methods refused with 405. Valid data may be refused: that a
tensor has as many numbers as its shape says is beyond a schema.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from attacks.client import ask, get
from attacks.server import MEGABYTE, Server, serving
from frame import ENVIRONMENT, Place, Verdict

PICTURE = "FOVEAL_TORTURE_PICTURE"
"""Variable that gives ``attacks/media.py`` the path of a good picture."""
EXAMPLES = 600
"""Per address, and as many again that break the schema; addresses without parameters take a few."""
LEAST_CASES = 2000
MORE_MEMORY = 50 * MEGABYTE
"""Bound on what the server gains between a quarter of the work and all of it."""
WORDS = (
    "--checks all --exclude-checks positive_data_acceptance --phases examples,coverage,fuzzing --mode all "
    "--continue-on-failure --warnings off --no-color --generation-database none"
)


def run(place: Place) -> Verdict:
    """X2 whole."""
    with serving(place) as (server, picture):
        (place.work / "picture").write_bytes(picture)
        reports = [fuzz(server, place, place.seed + 1, EXAMPLES // 4)]
        before = server.proportional_memory()
        reports.append(fuzz(server, place, place.seed, EXAMPLES))
        more = server.proportional_memory() - before
        health = asyncio.run(ask(server.port, get("/health/ready"))).status
        answers = asyncio.run(answered(server.port))
    cases = sum(report["test_cases"]["generated"] for report in reports)
    failures = [one for report in reports for one in report["failures"] + report["errors"]]
    operations = reports[-1]["operations"]
    statuses: Counter[str] = Counter()
    for (_, status), count in answers.items():
        statuses[status] += count
    found = min(answers["/v1/detect", "200"], answers["/v2/models/{model}/infer", "200"])
    kept = (
        all(report["complete"] and report["exit_code"] == 0 for report in reports)
        and not failures
        and operations["tested"] == operations["total"] >= 14
        and cases >= LEAST_CASES
        and found > 0
        and not [status for status in statuses if status >= "500"]
        and health == 200
        and more < MORE_MEMORY
    )
    said = ", ".join(f"{count:,} of {status}" for status, count in sorted(statuses.items()))
    return Verdict(
        kept,
        f"{cases:,} cases at {operations['tested']} of {operations['total']} addresses: {len(failures)} failures; "
        f"answers: {said}; {more / MEGABYTE:.0f} MB more than after the first quarter; ready afterwards: {health}",
    )


def fuzz(server: Server, place: Place, seed: int, examples: int) -> dict[str, Any]:
    """Schemathesis at work -> its report."""
    file = place.work / f"report-{seed}.json"
    program = Path(sys.executable).with_name("schemathesis")
    words = [str(program), "run", f"http://127.0.0.1:{server.port}/openapi.json", *WORDS.split()]
    words += ["--seed", str(seed), "--max-examples", str(examples)]
    words += ["--report", "json", "--report-json-path", str(file)]
    media = Path(__file__).parent / "attacks" / "media.py"
    environment = {PICTURE: str(place.work / "picture"), "SCHEMATHESIS_HOOKS": str(media)}
    subprocess.run(words, cwd=place.work, env={**ENVIRONMENT, **environment}, check=False)
    report: dict[str, Any] = json.loads(file.read_text())
    return report


async def answered(port: int) -> Counter[tuple[str, str]]:
    """(route, status) -> answers, as the server has counted them."""
    text = (await ask(port, get("/metrics"))).body.decode()
    found: Counter[tuple[str, str]] = Counter()
    for line in text.splitlines():
        if line.startswith("foveal_requests_total{"):
            labels, _, count = line.rpartition(" ")
            values = labels.split('"')
            found[values[3], values[5]] += int(float(count))
    return found
