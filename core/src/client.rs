//! The websocket client.
