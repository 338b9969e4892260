"""`functions` and `function_call`, the deprecated ancestors of `tools` and `tool_calls`: the same request in today's form.

A call had no id then; it gets one from its place in the conversation, and the function's result is given the same. There
was one call at a time, so one is all that is asked for.
"""

from msgspec.structs import replace

from caxton_llm.types import ChatRequest, FunctionCall, Json, Message, Tool, ToolCall

__all__ = ["has_room_for_one_call", "modernized"]


def modernized(request: ChatRequest) -> ChatRequest:
    """`request` with tools instead of functions; itself when it uses none. The source stays as it was."""
    if request.functions is None and request.function_call is None and not _uses_calls(request.messages):
        return request
    tools = list(request.tools or ())
    tools += (Tool(type="function", function=function) for function in request.functions or ())
    return replace(
        request,
        messages=_modern_messages(request.messages),
        tools=tools or None,
        tool_choice=request.tool_choice if request.function_call is None else _tool_choice(request.function_call),
        functions=None,
        function_call=None,
        parallel_tool_calls=False
        if request.functions and request.parallel_tool_calls is None
        else request.parallel_tool_calls,
    )


def has_room_for_one_call(request: ChatRequest) -> bool:
    """Whether one call at a time is not what the caller asks for but what comes with the deprecated form."""
    source = request.source
    if source is None:
        return bool(request.functions) and request.parallel_tool_calls is None
    return "functions" in source.fields and "parallel_tool_calls" not in source.fields


def _uses_calls(messages: list[Message]) -> bool:
    return any(message.function_call is not None or message.role == "function" for message in messages)


def _tool_choice(function_call: str | dict[str, Json]) -> str | dict[str, Json]:
    if isinstance(function_call, str):
        return function_call
    return {"type": "function", "function": function_call}


def _modern_messages(messages: list[Message]) -> list[Message]:
    modern: list[Message] = []
    open_id: str | None = None
    for index, message in enumerate(messages):
        if message.role == "function":
            modern.append(replace(message, role="tool", tool_call_id=open_id))
            open_id = None
        elif message.function_call is not None:
            open_id = f"call_{index}"
            modern.append(_with_tool_call(message, message.function_call, open_id))
        else:
            modern.append(message)
    return modern


def _with_tool_call(message: Message, call: FunctionCall, call_id: str) -> Message:
    calls = [*(message.tool_calls or ()), ToolCall(id=call_id, function=call)]
    return replace(message, tool_calls=calls, function_call=None)
