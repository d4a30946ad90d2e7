//! Traces: what the program did, for whoever runs it. Written to standard error, so that standard
//! output stays what a command was asked for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{Config, TraceFormat};

/// Begins to write traces, once per process.
pub fn init(config: &Config) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(&config.trace_filter)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call, as in tests that serve twice, changes nothing.
    let _ = match config.trace_format {
        TraceFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).try_init(),
        TraceFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    Ok(())
}
