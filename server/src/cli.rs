//! The commands and their help. What they do is in the library; here is only what they say.

mod backup;
mod bundle;
mod decide;
mod demo;
mod recover;
mod say;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use barid_core::clock::system_clock;
use barid_server::accounts::{Accounts, Role};
use barid_server::admin::enrol;
use barid_server::admin::init::{Init, init};
use barid_server::admin::organisation::{self, Names};
use barid_server::config::{Config, Flags};
use barid_server::data_dir::DataDir;
use barid_server::materialiser;
use barid_server::relay_db::RelayDb;
use barid_server::secret::Secret;
use barid_server::serve::Server;
use barid_server::shutdown::asked_to_stop;
use barid_server::trace;
use clap::{Args, Parser, Subcommand};

use say::say;

/// Barid, a relay for offline-first field reports.
///
/// Patrols record where there is no network; a relay like this one merges what they bring when they
/// come back into range, and shows it to coordinators in Arabic and English.
///
/// To begin: `barid init` makes a relay, `barid serve` runs it, `barid enrol` adds a phone.
#[derive(Debug, Parser)]
#[command(name = "barid", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Directory with everything that the relay keeps: keys, log, accounts.
    #[arg(long, global = true, value_name = "DIR", env = "BARID_DATA", default_value = "barid-data")]
    data: PathBuf,

    /// Configuration file, if it is not `barid.toml` in the data directory.
    #[arg(long, global = true, value_name = "FILE", env = "BARID_CONFIG")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new relay: its keys, its first organisation and its first account.
    ///
    /// Prints two secrets once: the account's password, unless you give one, and a recovery key to
    /// keep on paper. A directory that already holds a relay is never touched.
    Init(InitArgs),

    /// Run the relay until Ctrl-C or SIGTERM.
    ///
    /// Prints one line when it is ready, such as `listening on http://127.0.0.1:7600`; open that
    /// address for the dashboard. On any address but loopback it speaks TLS only.
    Serve {
        #[command(flatten)]
        settings: Box<Flags>,
    },

    /// Add a phone: print a code that enrols one device within ten minutes.
    ///
    /// The phone scans the QR code, or its user types the text. The relay may be running.
    Enrol(EnrolArgs),

    /// See it work: a relay and four phones that lose the network, go on recording and come back.
    ///
    /// Makes everything in a new directory, which is removed at the end, and prints a link to the
    /// dashboard that signs in once. Nothing else is needed, and no other relay is touched.
    Demo(demo::DemoArgs),

    /// Take the log into the views: started by `barid serve`, never by hand.
    #[command(hide = true)]
    Materialise {
        #[command(flatten)]
        settings: Box<Flags>,
    },

    /// Add an organisation to the relay, or list them.
    #[command(subcommand)]
    Organisation(OrganisationCommand),

    /// Add an account for the dashboard, or set its password anew.
    #[command(subcommand)]
    Account(AccountCommand),

    /// List the devices, or revoke one that is lost.
    #[command(subcommand)]
    Device(decide::DeviceCommand),

    /// See what revoked devices wrote after that, and adopt or discard it.
    #[command(subcommand)]
    Quarantine(decide::QuarantineCommand),

    /// Erase a record: its content is deleted on the relay and on every device, for good.
    ///
    /// A signed statement stays, so that the record does not come back with a phone that was away. The
    /// chain of signatures goes on holding. The relay may be running.
    Erase(decide::EraseArgs),

    /// Print the audit trail: who revoked, adopted, discarded or erased what, and when.
    ///
    /// Each entry is bound to all before it. Keep the hash of the last line elsewhere: as long as a later
    /// trail goes on from it, nothing before it was changed or left out.
    Trail,

    /// Copy everything that the relay keeps into a new folder, while it runs.
    ///
    /// The folder appears under its name when it is complete and on disk, never before. It holds the
    /// keys, the accounts, the settings, the certificates and the log as of one moment, and a manifest
    /// with the hash of each file; not the views, which are rebuilt, and no file outside the data
    /// directory that the settings name. `barid restore` makes a relay of it.
    Backup(backup::BackupArgs),

    /// Make a relay from a backup, in a data directory that is empty or not there yet.
    ///
    /// Every file is compared with the backup's manifest first. The log becomes a new one, by which
    /// phones know that something may be missing: as they come into range they give back what they had
    /// sent since the backup. Phones that were enrolled since must be enrolled again. Serve it in place
    /// of the old relay, and never both.
    Restore(backup::RestoreArgs),

    /// Check that the relay's files are what it wrote; it may be running.
    ///
    /// Reads every database and every batch: signatures, hashes, the order of chains and offsets, who
    /// was permitted; and takes the log in afresh to compare the views with it, in a folder within the
    /// data directory that is removed afterwards. Prints what it finds, one line each. The exit code is
    /// 0 if all is well and 1 if not.
    Check,

    /// Write what a phone, or another relay, may have into a file, to be carried by hand.
    ///
    /// The bundle is encrypted to whom it is for: whoever finds the USB stick can read nothing. A phone
    /// gets the spaces that it is a member of; a key that this relay knows nothing of gets the spaces
    /// named with --space. The relay may be running.
    Export(bundle::ExportArgs),

    /// Take in a bundle that a phone, or another relay, made for this relay.
    ///
    /// Every batch is verified and judged as one that comes over a link; what is new is appended to the
    /// log, and a running relay passes it on at once. Of a file that is torn or damaged, all that is
    /// whole before the damage is taken in, and what is missing is named. The exit code is 0 only if all
    /// is in the log, or in quarantine.
    Import(bundle::ImportArgs),

    /// Bring back what a damaged database of a device still holds.
    ///
    /// Every intact batch and every change that was recorded and not sent yet is taken into a new
    /// database, which the device then opens as its own. The damaged file is not changed.
    Recover(recover::RecoverArgs),

    /// Print the description of the API: the OpenAPI document that `/api/openapi.json` serves.
    Openapi,

    /// Print every setting with its meaning, its unit and the value that counts now.
    ///
    /// A flag of `barid serve` wins over the environment (`BARID_` and the key in capitals), the
    /// environment over the file, and the file over the default.
    Config {
        #[command(flatten)]
        settings: Box<Flags>,
    },
}

#[derive(Debug, Args)]
struct InitArgs {
    /// The first organisation's name in English.
    #[arg(long, value_name = "NAME", default_value = "First organisation")]
    organisation_en: String,
    /// The first organisation's name in Arabic.
    #[arg(long, value_name = "NAME", default_value = "الجهة الأولى")]
    organisation_ar: String,
    /// What kind of organisation it is, in one word, such as border_guard, police or health.
    #[arg(long, value_name = "WORD", default_value = "agency")]
    organisation_kind: String,
    /// The name in English of the space that organisations share on this relay.
    #[arg(long, value_name = "NAME", default_value = "Joint centre")]
    name_en: String,
    /// The name in Arabic of the space that organisations share on this relay.
    #[arg(long, value_name = "NAME", default_value = "المركز المشترك")]
    name_ar: String,
    /// The first account's name, an administrator's.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    account: String,
    /// Read the account's password from this file, or from standard input if it is `-`.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A name or address under which phones and browsers will reach the relay; may be repeated.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    #[command(flatten)]
    settings: Box<Flags>,
}

#[derive(Debug, Args)]
struct EnrolArgs {
    /// The organisation that the device belongs to: its name in either language, or its id.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// What to call the device; otherwise it says so itself.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// Print the text code alone.
    #[arg(long)]
    text: bool,
    /// How the phone reaches the relay, if not at the address where it listens, such as
    /// https://relay.example:7600.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum OrganisationCommand {
    /// Add an organisation: makes its key and its own space, and names it in the joint space.
    Add {
        /// Its name in English.
        #[arg(long, value_name = "NAME")]
        name_en: String,
        /// Its name in Arabic.
        #[arg(long, value_name = "NAME")]
        name_ar: String,
        /// What kind of organisation it is, in one word, such as border_guard, police or health.
        #[arg(long, value_name = "WORD", default_value = "agency")]
        kind: String,
    },
    /// List the organisations: id, kind, devices, names.
    List,
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Add an account that may look at the dashboard.
    Add {
        /// Its name.
        name: String,
        /// May it manage the relay too?
        #[arg(long)]
        administrator: bool,
        /// Read the password from this file, or from standard input if it is `-`.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Set a password anew with the recovery key that `barid init` printed.
    Reset {
        /// The account's name.
        name: String,
        /// Read the recovery key from this file, or from standard input if it is `-`.
        #[arg(long, value_name = "FILE", default_value = "-")]
        recovery_key_file: PathBuf,
        /// Read the new password from this file; a random one is made and printed if none is given.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let settings = |flags: &Flags| -> anyhow::Result<Config> {
            let config = Config::load(&self.data, self.config.as_deref(), flags)?;
            trace::init(&config).context("reading trace_filter")?;
            Ok(config)
        };
        let data = DataDir::new(&self.data);
        match self.command {
            Command::Init(args) => make_relay(&self.data, args),
            Command::Serve { settings: flags } => serve(settings(&flags)?),
            Command::Materialise { settings: flags } => Ok(materialiser::work(&settings(&flags)?)?),
            Command::Enrol(args) => print_code(&settings(&Flags::default())?, &args),
            Command::Demo(args) => demo::run(args),
            Command::Organisation(OrganisationCommand::Add { name_en, name_ar, kind }) => {
                settings(&Flags::default())?;
                let id = organisation::add(&data, Names { ar: name_ar, en: name_en, kind })?;
                say(format_args!("{id}"))
            }
            Command::Organisation(OrganisationCommand::List) => {
                settings(&Flags::default())?;
                for listed in organisation::list(&data)? {
                    say::organisation(&listed)?;
                }
                Ok(())
            }
            Command::Account(command) => change_account(&settings(&Flags::default())?, command),
            Command::Device(command) => {
                settings(&Flags::default())?;
                decide::about_devices(&data, command)
            }
            Command::Quarantine(command) => {
                settings(&Flags::default())?;
                decide::about_quarantine(&data, command)
            }
            Command::Erase(args) => {
                settings(&Flags::default())?;
                decide::erase_record(&data, &args)
            }
            Command::Trail => {
                settings(&Flags::default())?;
                decide::print_trail(&data)
            }
            Command::Backup(args) => {
                settings(&Flags::default())?;
                backup::back_up(&data, &args)
            }
            // There are no settings yet.
            Command::Restore(args) => backup::bring_back(&self.data, &args),
            Command::Check => {
                settings(&Flags::default())?;
                backup::look(&data)
            }
            Command::Export(args) => {
                settings(&Flags::default())?;
                bundle::export(&data, &args)
            }
            Command::Import(args) => bundle::import(&settings(&Flags::default())?, &args),
            Command::Recover(args) => {
                settings(&Flags::default())?;
                recover::run(&args)
            }
            Command::Openapi => {
                say(format_args!("{}", barid_server::api::openapi::describe().to_pretty_json()?))
            }
            Command::Config { settings: flags } => {
                let config = Config::load(&self.data, self.config.as_deref(), &flags)?;
                say(format_args!("{}", config.to_toml().trim_end()))
            }
        }
    }
}

fn make_relay(data: &Path, args: InitArgs) -> anyhow::Result<()> {
    let spec = Init {
        name_ar: args.name_ar,
        name_en: args.name_en,
        organisation: Names {
            ar: args.organisation_ar,
            en: args.organisation_en,
            kind: args.organisation_kind,
        },
        account: args.account.clone(),
        password: args.password_file.as_deref().map(read_secret).transpose()?,
        hosts: args.host,
        settings: *args.settings,
    };
    let made = init(data, spec)?;
    say::initialised(data, &args.account, &made)
}

fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let served = runtime.block_on(async {
        let server = Server::bind(config, false).await?.with_worker(materialiser::this_program()?);
        say(format_args!("listening on {}", server.url()))?;
        Ok(server.run(stop()).await?)
    });
    // A task that blocks must not keep a stopped relay from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}

/// Ends when the operator asks the process to stop.
async fn stop() {
    if let Err(error) = asked_to_stop().await {
        tracing::error!(%error, "signals cannot be heard; stop with SIGKILL");
        std::future::pending::<()>().await;
    }
}

fn print_code(config: &Config, args: &EnrolArgs) -> anyhow::Result<()> {
    let data = DataDir::new(&config.data);
    let organisation = match &args.organisation {
        Some(name) => organisation::find(&data, name)?,
        None => {
            let mut all = organisation::list(&data)?;
            match (all.pop(), all.is_empty()) {
                (Some(only), true) => only,
                _ => bail!("there are several organisations: say which with --organisation"),
            }
        }
    };
    let code = enrol::enrol(config, args.public_url.as_deref(), organisation.id, &args.label)?;
    if args.text { say(format_args!("{code}")) } else { say::code(&code, &organisation.names) }
}

fn change_account(config: &Config, command: AccountCommand) -> anyhow::Result<()> {
    let data = DataDir::new(&config.data);
    if !data.is_initialised() {
        bail!("there is no relay in {0}: make one with `barid init --data {0}`", config.data.display());
    }
    let relay_db = RelayDb::open(&data.relay_db())?;
    let accounts = Accounts::new(relay_db, system_clock(), config.session_idle(), config.login_attempts_max);
    match command {
        AccountCommand::Add { name, administrator, password_file } => {
            let role = if administrator { Role::Administrator } else { Role::Coordinator };
            let (password, is_new) = given_or_made(password_file.as_deref())?;
            accounts.create(&name, role, &password)?;
            say::account(&name, is_new.then_some(&password))
        }
        AccountCommand::Reset { name, recovery_key_file, password_file } => {
            let (password, is_new) = given_or_made(password_file.as_deref())?;
            let key = read_secret(&recovery_key_file)?;
            accounts.reset(&name, key.reveal(), &password)?;
            say::account(&name, is_new.then_some(&password))
        }
    }
}

fn given_or_made(file: Option<&Path>) -> anyhow::Result<(Secret, bool)> {
    Ok(match file {
        Some(file) => (read_secret(file)?, false),
        None => (Secret::random_password(), true),
    })
}

/// The first line of a file, or of standard input.
fn read_secret(file: &Path) -> anyhow::Result<Secret> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_line(&mut text).context("reading standard input")?;
    } else {
        std::fs::File::open(file)
            .and_then(|mut file| file.read_to_string(&mut text))
            .with_context(|| format!("reading {}", file.display()))?;
    }
    Ok(Secret::new(text.lines().next().unwrap_or_default().trim()))
}
