"""The service: search over HTTP, and the page where you draw the box (extra `[serve]`).

Read it along the path of a request::

    settings         what can be set, in a file, the environment or by flags
    running          a process that serves until it is told to stop
    application      the layers and routes, put together
    layers           what every request passes: ids and logs, headers, origins, admission, sizes
    routes           HTTP in, HTTP out; nothing else
    requests         a body as a `Query` and its `Terms`
    service          the work: the catalogue, the model, and what waits for them
    searching        a query and its terms → the JSON of the result
    explaining       a query and a result → the JSON of why they match
    problems         errors as problem documents (RFC 9457)
    ..._schemas      what goes in and comes out, for OpenAPI
    metrics, logs    what operators see

One process serves. Its work is done by threads and by the processes that decode photos, which use
all cores; further server processes would each load the model and the catalogue's columns again.
"""
