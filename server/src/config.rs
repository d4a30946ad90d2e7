//! Every setting of the relay: one struct, each key with its unit, its default and its meaning in
//! the one list below, which is also the help text, the environment and the configuration file.
//!
//! A flag wins over the environment (`BARID_` and the key in capitals), the environment over
//! `barid.toml` in the data directory, and the file over the default. A key that does not exist is
//! an error in the file, never ignored: a mistyped bound would otherwise not bind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};

/// How traces are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TraceFormat {
    /// One line a fact, for people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// One documented key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name: in the file as it stands here, as a flag with hyphens, in the environment in
    /// capitals after `BARID_`.
    pub name: &'static str,
    /// What one is counted in, or what it looks like.
    pub unit: &'static str,
    /// What it is and why one would change it.
    pub doc: &'static str,
}

macro_rules! keys {
    ($( #[doc = $doc:literal] $name:ident: $type:ty = $default:expr, $unit:literal; )*) => {
        /// The settings of one relay, all of them decided.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Config {
            /// The directory with everything the relay keeps.
            #[serde(skip)]
            pub data: PathBuf,
            $( #[doc = $doc] pub $name: $type, )*
        }

        impl Config {
            /// The defaults, over this data directory.
            pub fn defaults(data: impl Into<PathBuf>) -> Self {
                Self { data: data.into(), $( $name: $default, )* }
            }
        }

        /// The settings as flags: only those given are decided here.
        #[derive(Debug, Clone, Default, Serialize, clap::Args)]
        pub struct Flags {
            $(
                #[doc = $doc]
                #[arg(long, value_name = $unit)]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )*
        }

        /// Every key, in the order in which it is documented.
        pub const KEYS: &[Key] =
            &[$( Key { name: stringify!($name), unit: $unit, doc: $doc.trim_ascii() } ),*];
    };
}

keys! {
    /// Address and port to listen on. Any address but loopback needs TLS. [default: 127.0.0.1:7600]
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7600)), "ADDR:PORT";
    /// How phones and browsers reach this relay, if not at the listening address: travels in enrolment codes. [default: from `listen`]
    public_url: String = String::new(), "URL";
    /// The certificate to serve, with its chain, in PEM. Needs `tls_key`. [default: the one that `barid init` made]
    tls_cert: PathBuf = PathBuf::new(), "FILE";
    /// The private key of `tls_cert`, in PEM. [default: the one that `barid init` made]
    tls_key: PathBuf = PathBuf::new(), "FILE";
    /// Directory with map files (.pmtiles) of one's own. [default: `maps` in the data directory]
    maps: PathBuf = PathBuf::new(), "DIR";
    /// How traces are written to standard error: text or json. [default: text]
    trace_format: TraceFormat = TraceFormat::Text, "FORMAT";
    /// Which traces are written: a level, or `module=level` pairs with commas. [default: info]
    trace_filter: String = "info".to_owned(), "FILTER";
    /// Connections open at the same time, at most; more wait to be accepted. [default: 2000]
    connections_max: usize = 2000, "COUNT";
    /// Seconds within which a client must have sent the head of its request. [default: 20]
    header_seconds_max: u64 = 20, "SECONDS";
    /// Seconds within which a client must have sent the body of its request. [default: 20]
    body_seconds_max: u64 = 20, "SECONDS";
    /// Seconds for which a client may take nothing of what it asked for. [default: 60]
    stall_seconds_max: u64 = 60, "SECONDS";
    /// Bytes of a request's body, at most. [default: 1048576]
    body_len_max: usize = 1024 * 1024, "BYTES";
    /// Seconds that connections get to finish when the relay stops. [default: 10]
    drain_seconds_max: u64 = 10, "SECONDS";
    /// Hours without a request after which a login ends. [default: 12]
    session_idle_hours_max: u64 = 12, "HOURS";
    /// Wrong passwords within ten minutes, for one name or from one address, after which no more are tried. [default: 10]
    login_attempts_max: u32 = 10, "COUNT";
    /// Mebibytes of address space for the process that decodes what devices wrote. [default: 2048]
    materialiser_mebibytes_max: u64 = 2048, "MEBIBYTES";
    /// Seconds after which that process gives up on one step. [default: 60]
    materialiser_step_seconds_max: u64 = 60, "SECONDS";
    /// Batches that one device may have in quarantine, at most, sent after it was revoked or on a branch that does not stand. [default: 4096]
    quarantine_batches_max: u64 = 4096, "COUNT";
    /// Mebibytes that they may have together, at most. [default: 64]
    quarantine_mebibytes_max: u64 = 64, "MEBIBYTES";
    /// Mebibytes of one attachment, such as a photo, at most; no more than 25, which is the protocol's own bound. [default: 25]
    attachment_mebibytes_max: u64 = 25, "MEBIBYTES";
    /// Mebibytes of all attachments of a space, at most; what does not fit waits on the phones. [default: 51200]
    attachments_space_mebibytes_max: u64 = 51200, "MEBIBYTES";
    /// Mebibytes of all attachments that one device has sent, at most. [default: 10240]
    attachments_device_mebibytes_max: u64 = 10240, "MEBIBYTES";
    /// Mebibytes that attachments leave free on the disk, so that records always find room. [default: 512]
    attachments_spare_mebibytes_min: u64 = 512, "MEBIBYTES";
    /// Batches made durable together, at most: more is faster, fewer answers sooner. [default: 256]
    log_group_max: usize = 256, "COUNT";
    /// Batches waiting to be made durable, at most: the bound on the memory of uploads. [default: 512]
    log_queue_max: usize = 512, "COUNT";
}

/// The settings cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("reading the settings")]
pub struct ConfigError(#[source] Box<figment::Error>);

impl Config {
    /// Decides every key: flags, then the environment, then `file` (`barid.toml` in the data
    /// directory if not given), then the defaults.
    pub fn load(data: &Path, file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        Self::layer(data, file, Env::prefixed("BARID_").only(&names), flags)
    }

    fn layer(
        data: &Path,
        file: Option<&Path>,
        environment: impl figment::Provider,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let own_file = data.join(FILE_NAME);
        let toml = match file {
            // Not to be there is an error only for a file that was named.
            Some(file) => Toml::file_exact(file),
            None if own_file.exists() => Toml::file_exact(own_file),
            None => Toml::string(""),
        };
        let mut config: Self = Figment::from(Serialized::defaults(Self::defaults(data)))
            .merge(toml)
            .merge(environment)
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(|error| ConfigError(Box::new(error)))?;
        config.data = data.to_owned();
        Ok(config)
    }

    /// Whether the relay is reached only from this machine, so that plain HTTP is safe.
    pub fn listens_on_loopback(&self) -> bool {
        self.listen.ip().is_loopback()
    }

    /// The certificate and key that the operator named, if both are.
    pub fn named_certificate(&self) -> Option<(&Path, &Path)> {
        let named = !self.tls_cert.as_os_str().is_empty() && !self.tls_key.as_os_str().is_empty();
        named.then_some((&*self.tls_cert, &*self.tls_key))
    }

    /// Whether links are encrypted.
    pub fn uses_tls(&self) -> bool {
        self.named_certificate().is_some() || !self.listens_on_loopback()
    }

    /// The address for people and browsers, given where the relay really listens.
    pub fn web_url(&self, bound: SocketAddr) -> String {
        let given = self.public_url.trim_end_matches('/');
        if !given.is_empty() {
            return if given.starts_with("ws") { given.replacen("ws", "http", 1) } else { given.to_owned() };
        }
        format!("{}://{bound}", if self.uses_tls() { "https" } else { "http" })
    }

    /// The address that travels in enrolment codes.
    pub fn device_url(&self, bound: SocketAddr) -> String {
        as_device_url(&self.web_url(bound))
    }

    /// The directory of the operator's own maps.
    pub fn maps_dir(&self) -> PathBuf {
        if self.maps.as_os_str().is_empty() { self.data.join("maps") } else { self.maps.clone() }
    }

    /// How long a login lasts without a request.
    pub fn session_idle(&self) -> Duration {
        Duration::from_secs(self.session_idle_hours_max.saturating_mul(3600))
    }

    /// The settings as a configuration file with every key explained. Holds no secret: keys and
    /// passwords are files, never settings.
    pub fn to_toml(&self) -> String {
        let values = serde_json::to_value(self).unwrap_or_default();
        let mut text = String::new();
        for key in KEYS {
            // The scalars used here are written alike in JSON and in TOML.
            text.push_str(&format!("# {} ({})\n{} = {}\n\n", key.doc, key.unit, key.name, values[key.name]));
        }
        text
    }
}

/// The address of a relay's links, from that of its pages.
pub fn as_device_url(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.starts_with("http") { url.replacen("http", "ws", 1) } else { url.to_owned() }
}

/// The configuration file's name in the data directory.
pub const FILE_NAME: &str = "barid.toml";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn with_file(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
        dir
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let dir = with_file("connections_max = 1\ndrain_seconds_max = 2\nlog_group_max = 3");
        let environment = Toml::string("connections_max = 4\ndrain_seconds_max = 5");
        let flags = Flags { connections_max: Some(6), ..Flags::default() };
        let config = Config::layer(dir.path(), None, environment, &flags).unwrap();
        assert_eq!((config.connections_max, config.drain_seconds_max, config.log_group_max), (6, 5, 3));
        assert_eq!(config.body_len_max, Config::defaults("x").body_len_max);
    }

    #[test]
    fn a_mistyped_key_in_the_file_is_an_error() {
        let dir = with_file("conections_max = 1");
        let error = Config::load(dir.path(), None, &Flags::default()).unwrap_err();
        assert!(error.0.to_string().contains("conections_max"), "{}", error.0);
    }

    #[test]
    fn a_file_that_was_named_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Config::load(dir.path(), None, &Flags::default()).is_ok());
        assert!(Config::load(dir.path(), Some(&dir.path().join("other.toml")), &Flags::default()).is_err());
    }

    #[test]
    fn the_printed_file_reads_back_as_the_same_settings() {
        let mut config = Config::defaults("");
        config.public_url = "https://relay.example:7600".to_owned();
        config.maps = "/srv/\"maps\"".into();
        let dir = with_file(&config.to_toml());
        config.data = dir.path().to_owned();
        assert_eq!(Config::load(dir.path(), None, &Flags::default()).unwrap(), config);
    }

    #[test]
    fn every_documented_default_is_the_default() {
        let values = serde_json::to_value(Config::defaults("x")).unwrap();
        for key in KEYS {
            let documented = key.doc.rsplit_once("[default: ").unwrap().1.trim_end_matches(']');
            let value = values[key.name].to_string();
            let value = value.trim_matches('"');
            assert!(value.is_empty() || value == documented, "{}: {value} is not {documented}", key.name);
        }
    }

    #[test]
    fn phones_and_browsers_get_the_scheme_that_is_served() {
        let bound: SocketAddr = "127.0.0.1:7600".parse().unwrap();
        let mut config = Config::defaults("x");
        assert_eq!(config.device_url(bound), "ws://127.0.0.1:7600");
        config.listen = "192.0.2.1:7600".parse().unwrap();
        assert_eq!(config.device_url(config.listen), "wss://192.0.2.1:7600");
        config.public_url = "https://relay.example/".to_owned();
        assert_eq!(config.web_url(bound), "https://relay.example");
        assert_eq!(config.device_url(bound), "wss://relay.example");
    }
}
