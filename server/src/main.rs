//! The command line: parse, trace, do.

#[allow(rustdoc::bare_urls, reason = "these comments are the help text, where a URL stands as it is")]
mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain of causes: this is where a person reads it.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("barid: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}
