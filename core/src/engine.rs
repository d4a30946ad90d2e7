//! The engine: performs a session's outputs on the store.
