"""One address for the replicas of each service, as a platform's balancer gives it: python -m deploy.local.front PORT=PORT,PORT …

Connections go to the replicas in turn; one that does not answer is passed over.
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Sequence

HOST = "127.0.0.1"
CHUNK = 64 * 1024


async def balance(port: int, replicas: Sequence[int]) -> None:
    """Serves one address for ever."""
    turn = itertools.cycle(replicas)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for replica in itertools.islice(turn, len(replicas)):
            with contextlib.suppress(OSError):
                back, forth = await asyncio.open_connection(HOST, replica)
                await asyncio.gather(_pass(reader, forth), _pass(back, writer))
                return
        writer.close()

    server = await asyncio.start_server(connected, HOST, port)
    await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hands on what one side says until it ends; then the other is told."""
    with contextlib.suppress(OSError):
        while some := await reader.read(CHUNK):
            writer.write(some)
            await writer.drain()
    writer.close()


async def main(ways: Sequence[str]) -> None:
    pairs = [way.split("=") for way in ways]
    await asyncio.gather(*(balance(int(port), [int(each) for each in replicas.split(",")]) for port, replicas in pairs))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
