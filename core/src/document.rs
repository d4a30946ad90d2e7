//! Documents: what a record is made of, and how its changes become one.
