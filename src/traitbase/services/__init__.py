"""The use cases, one function or small class each, over ports that the store implements. Synchronous throughout."""
