"""What an operator asks the gateway: how its providers are doing."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caxton_llm.caxton import Caxton
from caxton_llm.errors import InvalidRequest, UnknownModel
from caxton_llm.server.responses import error_response, json_response

__all__ = ["PROVIDERS_PATH", "admin_routes"]

PROVIDERS_PATH = "/api/v1/providers"


def admin_routes(caxton: Caxton) -> list[Route]:
    """`GET /api/v1/providers` and `GET /api/v1/providers/{name}`: this process's view of the configured entries.
    `POST /api/v1/providers/{name}/reset` trusts one again at once."""

    async def providers(_request: Request) -> Response:
        return json_response({"providers": caxton.provider_states()})

    async def provider(request: Request) -> Response:
        name = request.path_params["name"]
        states = caxton.provider_states()
        for state in states:
            if state.name == name:
                return json_response(state)
        known = ", ".join(state.name for state in states)
        missing = InvalidRequest(f"no provider is called {name!r}; there is: {known}", code="provider_not_found")
        return error_response(request, missing, status=404)

    async def reset(request: Request) -> Response:
        try:
            caxton.reset_target(request.path_params["name"])
        except UnknownModel as error:
            return error_response(request, error)
        return await provider(request)

    one = f"{PROVIDERS_PATH}/{{name:path}}"
    return [
        Route(PROVIDERS_PATH, providers),
        Route(f"{one}/reset", reset, methods=["POST"]),
        Route(one, provider),
    ]
