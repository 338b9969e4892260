"""What an operator asks the gateway: how its providers are doing."""

from msgspec import Struct

from caxton_llm.caxton import Caxton
from caxton_llm.errors import InvalidRequest
from caxton_llm.server.operation import Call, NoBody, NoQuery, Operation, operation
from caxton_llm.target_status import TargetStatus

__all__ = ["PROVIDERS_PATH", "admin_operations"]

PROVIDERS_PATH = "/api/v1/providers"


class ProviderList(Struct):
    """The configured entries."""

    providers: list[TargetStatus]


class _NoProvider(InvalidRequest):
    http_status = 404


def admin_operations(caxton: Caxton) -> list[Operation]:
    """`GET /api/v1/providers` and `GET /api/v1/providers/{name}`: this process's view of the configured entries.
    `POST /api/v1/providers/{name}/reset` trusts one again at once."""

    async def providers(_call: Call[NoQuery, NoBody]) -> ProviderList:
        return ProviderList(caxton.provider_states())

    async def provider(call: Call[NoQuery, NoBody]) -> TargetStatus:
        name = call.request.path_params["name"]
        states = caxton.provider_states()
        for state in states:
            if state.name == name:
                return state
        known = ", ".join(state.name for state in states)
        raise _NoProvider(f"no provider is called {name!r}; there is: {known}", code="provider_not_found")

    async def reset(call: Call[NoQuery, NoBody]) -> TargetStatus:
        caxton.reset_target(call.request.path_params["name"])
        return await provider(call)

    one = f"{PROVIDERS_PATH}/{{name}}"
    return [
        operation(
            "GET",
            PROVIDERS_PATH,
            "How every provider is doing",
            providers,
            query=NoQuery,
            body=NoBody,
            answer=ProviderList,
        ),
        operation(
            "POST",
            f"{one}/reset",
            "Trust a provider again at once",
            reset,
            query=NoQuery,
            body=NoBody,
            answer=TargetStatus,
        ),
        operation("GET", one, "How one provider is doing", provider, query=NoQuery, body=NoBody, answer=TargetStatus),
    ]
