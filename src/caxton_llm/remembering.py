"""What is kept of a conversation when it goes on: memories taken out of it, and which memories were of use."""
