"""The client library: how an application talks to the daemon.

::

    from ipc.client import Client

    with Client() as client:
        execution = client.submit_and_wait("invoice", input={"lines": [{"price": 12, "count": 3}]})
        print(execution.status, execution.output_json)

`AsyncClient` has the same methods, awaited, and carries any number of requests on its one connection::

    async with AsyncClient() as client:
        ids = await asyncio.gather(*(client.submit("invoice", input=each) for each in orders))

Both find the daemon's socket by themselves (`ipc.location.find_socket`), connect with the first request, and
connect again with the next request after a connection was lost. Errors are those of `ipc.errors`.
"""

from ipc.async_client import AsyncClient, AsyncLogs
from ipc.sync_client import Client, Logs

__all__ = ["AsyncClient", "AsyncLogs", "Client", "Logs"]
