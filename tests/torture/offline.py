"""S16 whole: the test suite in a network namespace of its own, which has the loopback and nothing else."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from frame import ENVIRONMENT, ROOT, Place, Verdict

OUTSIDE = ("192.0.2.1", 443)
"""An address of nobody (RFC 5737)."""
OF_NETWORK = re.compile(r"network|internet|offline|download|fetch|resolve|registry|model hub", re.IGNORECASE)
"""In the reason of a skip: the test would have needed one."""
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


def run(place: Place) -> Verdict:
    """The suite's counts; kept where all passed, none was skipped for want of a network, and there was none."""
    report, facts = place.work / "tests.xml", place.work / "facts.json"
    # Whoever is not root needs a namespace of users in which they may bring up the loopback.
    words = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"])]
    inner = [sys.executable, str(Path(__file__).resolve()), str(facts), sys.executable, "-m", "pytest"]
    inner += ["-q", "-n", "2", "-p", "no:cacheprovider", "-o", "timeout=1500", f"--junit-xml={report}"]
    process = subprocess.run([*words, *inner], cwd=ROOT, env=ENVIRONMENT, check=False)
    if not report.is_file():
        return Verdict(
            False, f"no tests were run (exit code {process.returncode}): may this user make namespaces?"
        )
    cases = ElementTree.parse(report).getroot().iter("testcase")
    ends = [(case, {child.tag: child.get("message") or "" for child in case}) for case in cases]
    failed = [name_of(case) for case, end in ends if end.keys() & {"failure", "error"}]
    skipped = [end["skipped"] for _, end in ends if "skipped" in end]
    wanting = [reason for reason in skipped if OF_NETWORK.search(reason)]
    known = json.loads(facts.read_text())
    for line in [*failed, *wanting]:
        print(line)
    passed = len(ends) - len(failed) - len(skipped)
    found = f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped ({len(wanting)} for want of a network)"
    found += f"; interfaces: {', '.join(known['interfaces'])}; {known['unsent']} packets with nowhere to go"
    alone = known["interfaces"] == ["lo"] and known["outside"] == "ENETUNREACH"
    return Verdict(process.returncode == 0 and passed > 1000 and not failed and not wanting and alone, found)


def name_of(case: ElementTree.Element) -> str:
    """A test, as pytest says it."""
    return f"{case.get('classname')}::{case.get('name')}"


def raise_loopback() -> None:
    """A new namespace has it, but down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING))


def reached() -> str:
    """What a connection to the outside comes to."""
    with socket.socket() as probe:
        return errno.errorcode.get(probe.connect_ex(OUTSIDE), "connected")


def unsent() -> int:
    """Packets of IPv4 that some process of this namespace had for an address without a route."""
    names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines()[:2])
    return int(values[names.index("OutNoRoutes")])


def main() -> int:
    """Inside the namespace: run a command, and write down what this place is."""
    raise_loopback()
    interfaces = sorted(name for _, name in socket.if_nameindex())
    facts = {"interfaces": interfaces, "outside": reached()}
    before = unsent()
    code = subprocess.run(sys.argv[2:], check=False).returncode
    Path(sys.argv[1]).write_text(json.dumps({**facts, "unsent": unsent() - before}))
    return code


if __name__ == "__main__":
    sys.exit(main())
