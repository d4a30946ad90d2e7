//! A device's secret key.
