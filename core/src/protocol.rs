//! The protocol: frames, messages and the two ends of a link, sans-IO.
