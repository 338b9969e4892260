"""Tools of MCP servers, spoken to through the official SDK, which is imported when the first server is needed."""
