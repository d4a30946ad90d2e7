//! What commands print.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use barid_core::enrolment::EnrolmentCode;
use barid_server::admin::enrol::qr;
use barid_server::admin::init::Initialised;
use barid_server::admin::organisation::{Listed, Names};
use barid_server::data_dir::DataDir;
use barid_server::secret::Secret;

/// One line on standard output, written at once: others wait for it.
pub(super) fn say(line: fmt::Arguments<'_>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("writing to standard output")
}

pub(super) fn organisation(listed: &Listed) -> anyhow::Result<()> {
    let Listed { id, names: Names { ar, en, kind }, devices, has_key } = listed;
    let key = if *has_key { "" } else { "\tkey elsewhere" };
    say(format_args!("{id}\t{kind}\t{devices} devices\t{en}\t{ar}{key}"))
}

pub(super) fn account(name: &str, made: Option<&Secret>) -> anyhow::Result<()> {
    match made {
        Some(password) => say(format_args!("{name}\npassword (shown once): {}", password.reveal())),
        None => say(format_args!("{name}")),
    }
}

pub(super) fn code(code: &EnrolmentCode, organisation: &Names) -> anyhow::Result<()> {
    // In a terminal, black on white whatever its colours: not every camera reads the inverse.
    let (begin, end) = if std::io::stdout().is_terminal() { ("\x1b[30;107m", "\x1b[0m") } else { ("", "") };
    for line in qr(code).iter().flat_map(|qr| qr.lines()) {
        say(format_args!("{begin}{line}{end}"))?;
    }
    say(format_args!("{code}\n"))?;
    say(format_args!("Enrols one device of {} ({}) within ten minutes.", organisation.en, organisation.ar))
}

pub(super) fn initialised(data: &Path, account: &str, made: &Initialised) -> anyhow::Result<()> {
    let dir = data.display();
    say(format_args!("A relay was made in {dir}.\n"))?;
    say(format_args!("  organisation   {}", made.organisation))?;
    say(format_args!("  joint space    {}", made.joint_space))?;
    say(format_args!("  account        {account}"))?;
    if let Some(password) = &made.password {
        say(format_args!("  password       {}", password.reveal()))?;
    }
    say(format_args!("  recovery key   {}\n", made.recovery_key.reveal()))?;
    say(format_args!(
        "The recovery key is shown only now. Keep it on paper, away from this machine: it sets any\n\
         password anew (`barid account reset`).\n"
    ))?;
    say(format_args!("Next:\n  barid serve --data {dir}\n  barid enrol --data {dir}      (adds a phone)\n"))?;
    say(format_args!(
        "On any address but loopback the relay speaks TLS with a certificate of its own. Phones get its\n\
         pin with their code. For a browser to trust it, import {} once:\n  \
         Firefox: Settings, Certificates, Authorities, Import.\n  \
         Chromium: Settings, Security, Manage certificates, Authorities.\n  \
         Debian, for all: copy it to /usr/local/share/ca-certificates/barid.crt, then run\n  \
         update-ca-certificates.",
        DataDir::new(data).tls().join("ca.pem").display()
    ))
}
