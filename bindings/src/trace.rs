//! What a test of the boundary needs to see.

/// Panics on purpose, so that an app's tests can see that a panic becomes an exception.
#[uniffi::export]
pub fn panic_for_test(message: String) {
    panic!("{message}");
}
