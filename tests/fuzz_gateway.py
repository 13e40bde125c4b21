"""`python -m tests.fuzz_gateway --finished WORKSPACE`: broken pictures by the hundred thousand, and broken HTTP, to a real `vitrine serve`.

Every picture must be answered, with neighbours or with a reason: no 5xx, no lost connection, no answer that takes MAX_ANSWER_S, no memory
that grows. Then bytes that are no HTTP, or nearly, over bare sockets. Prints progress, then Markdown for docs/benchmarks.md; leaves with
status 1 where something was found, and keeps those pictures in --keep.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.fuzz_pictures import growth_mib
from tests.load import Answer, Ask, Load, run
from tests.mutations import flip_bits, insert, mutated, repeat, seeds, splice, take_out
from tests.picture_files import encoded, scene
from tests.served import Server, load_of_machine, make_shop, serving
from tests.wire_bytes import request, upload

CONNECTIONS = 16
MAX_ANSWER_S = 5.0
MAX_GROWTH_MIB = 48.0
SAMPLE_EVERY = 1000
RAW_AT_ONCE, RAW_WAIT_S = 32, 15.0
MUTATIONS = (flip_bits, take_out, repeat, splice, insert)


@dataclass
class Found:
    """What the run saw. `rss_mib` is by sample, of the gateway and of its workers."""

    codes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    gateway_mib: list[float] = field(default_factory=list)
    workers_mib: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    bad_files: dict[int, bytes] = field(default_factory=dict)


def judged(server: Server, found: Found, ask: Ask, answer: Answer) -> None:
    """Takes note of an answer to picture number `ask.note`."""
    code = "taken" if answer.status == 200 else str(_body(answer).get("code"))
    found.codes[f"{answer.status} {code}"] += 1
    found.seconds.append(answer.answered_s - answer.sent_s)
    slow = found.seconds[-1] > MAX_ANSWER_S
    if answer.status not in (200, 422) or code == "None" or slow:
        found.faults.append(f"picture {ask.note}: {answer.status} {code} after {found.seconds[-1]:.2f} s")
        found.bad_files[ask.note] = ask.data
    if len(found.seconds) % SAMPLE_EVERY == 0:
        own, workers = server.rss_mib()
        found.gateway_mib.append(own)
        found.workers_mib.append(workers)


def _body(answer: Answer) -> dict[str, object]:
    try:
        body: dict[str, object] = json.loads(answer.body)
    except ValueError:
        return {}
    return body


def pictures(server: Server, found: Found, num_files: int, seed: int) -> float:
    """Seconds for all of them."""
    known = list(seeds().values())

    def asks() -> Iterator[Ask]:
        for number in range(num_files):
            if number % 10_000 == 9_999:
                own, workers = found.gateway_mib[-1], found.workers_mib[-1]
                slowest = f"slowest {max(found.seconds):.2f} s, {len(found.faults)} faults, {load_of_machine()}"
                print(f"{number + 1} sent, {own:.0f} + {workers:.0f} MiB, {slowest}", file=sys.stderr, flush=True)
            yield Ask(upload("POST", "/v1/similar/upload", mutated(number, seed, known), {"k": "3"}), "picture", number)

    async def drive() -> float:
        async with Load("127.0.0.1", server.port, CONNECTIONS, lambda ask, answer: judged(server, found, ask, answer)) as load:
            return (await load.all_of(asks())).seconds

    return run(drive())


def sound_requests() -> list[bytes]:
    """Requests that are answered as they are."""
    chunked = b"POST /v1/similar HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [
        request("GET", "/health/live"),
        request("GET", "/v1/similar?text=mug&k=3", headers={"x-request-id": "abc", "x-platform": "ios"}),
        request("POST", "/v1/similar", b'{"text": "mug"}'),
        upload("POST", "/v1/similar/upload", encoded(scene()), {"k": "3"}),
        chunked + b'f\r\n{"text": "mug"}\r\n0\r\n\r\n',
        request("GET", "/") + request("GET", "/openapi.json"),
    ]


def garbage(number: int, seed: int, known: Sequence[bytes]) -> bytes:
    """Bytes `number` of the series: noise, or sound requests with one to three mutations."""
    rng = np.random.default_rng([seed, number])
    if rng.random() < 0.15:
        return rng.bytes(int(rng.integers(1, 4000)))
    data = known[int(rng.integers(len(known)))]
    for _ in range(int(rng.integers(1, 4))):
        if data:
            data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng, known)
    return data


async def tell(port: int, data: bytes, rng: random.Random) -> bytes:
    """Everything that comes back for these bytes, some sent in two pieces, until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(RAW_WAIT_S):
            cut = rng.randrange(len(data)) if data and rng.random() < 0.3 else len(data)
            writer.write(data[:cut])
            await writer.drain()
            if cut < len(data):
                await asyncio.sleep(0.002)
                writer.write(data[cut:])
            writer.write_eof()
            return await reader.read()
    except OSError:
        return b""  # it hung up on what it did not want to read
    finally:
        writer.close()


def raw(server: Server, found: Found, count: int, seed: int) -> Counter[str]:
    """Statuses of what came back first for each of the garbage requests."""
    known, statuses = sound_requests(), Counter[str]()

    async def some(numbers: Iterator[int], rng: random.Random) -> None:
        for number in numbers:
            data = garbage(number, seed, known)
            try:
                answer = await tell(server.port, data, rng)
            except TimeoutError:
                statuses["hangs"] += 1
                found.faults.append(f"garbage {number}: no answer and no end within {RAW_WAIT_S:.0f} s")
                continue
            statuses[answer[9:12].decode("latin-1") if answer else "hung up"] += 1
            if b"HTTP/1.1 5" in answer:
                found.faults.append(f"garbage {number}: {answer[:200]!r}")

    async def drive() -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(some(numbers, random.Random(one)) for one in range(RAW_AT_ONCE)))

    run(drive())
    return statuses


def report(found: Found, num_files: int, seconds: float, statuses: Counter[str], busy: str) -> bool:
    """Markdown, and whether nothing was found."""
    grown = [growth_mib(found.gateway_mib), growth_mib(found.workers_mib)]
    p99 = float(np.quantile(found.seconds, 0.99))
    pace = f"{CONNECTIONS} at once, {num_files / seconds:.0f} a second, {busy}"
    print(f"\n{num_files:,} mutated pictures through POST /v1/similar/upload, {pace}\n")
    print("| | measured | wanted |\n|---|---|---|")
    print(f"| 5xx, lost connections, refusals without a reason, answers after {MAX_ANSWER_S:.0f} s | {len(found.faults)} | 0 |")
    print(f"| slowest answer | {max(found.seconds):.2f} s (99 % below {p99:.2f} s) | {MAX_ANSWER_S:.0f} s |")
    for name, values, more in (("gateway", found.gateway_mib, grown[0]), ("workers", found.workers_mib, grown[1])):
        print(
            f"| memory of the {name}, last quarter against first | {more:+.1f} MiB ({min(values):.0f} to {max(values):.0f}) | no growth |"
        )
    print("\n| answer | pictures |\n|---|---|")
    for code, count in found.codes.most_common():
        print(f"| {code} | {count:,} |")
    print(f"\n{sum(statuses.values()):,} connections with noise and broken HTTP, by the first status that came back: "
          f"{', '.join(f'{status} {count:,}' for status, count in statuses.most_common())}")  # fmt: skip
    for fault in found.faults[:50]:
        print(f"\n- {fault}")
    return not found.faults and max(grown) <= MAX_GROWTH_MIB


def main() -> None:
    """Runs it and says what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=Path, default=Path(), help="a workspace after `make demo`")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--raw", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=None, help="folder for requests that showed a fault")
    chosen = parser.parse_args()
    found, busy = Found(), load_of_machine()
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-fuzz-") as scratch,
        serving(make_shop(Path(scratch) / "shop", chosen.finished)) as server,
    ):
        began = time.perf_counter()
        seconds = pictures(server, found, chosen.files, chosen.seed)
        statuses = raw(server, found, chosen.raw, chosen.seed)
        if not server.is_ready():
            found.faults.append(f"the gateway is not ready after {time.perf_counter() - began:.0f} s of this")
    sound = report(found, chosen.files, seconds, statuses, busy)
    if chosen.keep:
        chosen.keep.mkdir(parents=True, exist_ok=True)
        for number, data in found.bad_files.items():
            (chosen.keep / f"{number}.http").write_bytes(data)
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
