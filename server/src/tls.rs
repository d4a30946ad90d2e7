//! TLS: a small certificate authority of the relay's own, and what is served.
//!
//! A relay in the desert has no domain name and no public authority, so `barid init` makes one that
//! signs this relay's certificate alone. Its pin (the SHA-256 of the authority's certificate)
//! travels in enrolment codes, so phones need no list of authorities and no right clock; the
//! relay's certificate is made anew from time to time without any phone noticing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::data_dir::DataDir;

/// Certificates cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A name given for the relay is neither a host name nor an address, or signing failed.
    #[error("making a certificate")]
    Make(#[from] rcgen::Error),
    /// A file cannot be read or written.
    #[error("reaching {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no certificate or key in PEM.
    #[error("reading {path}: no certificate or key in PEM")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not fit each other, or are of a kind that is not served.
    #[error("using the certificate and its key")]
    Unusable(#[source] rustls::Error),
    /// There is no certificate, and the listening address needs one.
    #[error(
        "{listen} is not a loopback address, so it needs TLS, and there is no certificate: \
         give --tls-cert and --tls-key, or make one with `barid init`"
    )]
    Missing {
        /// The address.
        listen: std::net::SocketAddr,
    },
}

/// What a relay serves, and what phones pin.
#[derive(Debug, Clone)]
pub struct Served {
    /// For the listener.
    pub config: Arc<ServerConfig>,
    /// The SHA-256 of the last certificate of the chain: the authority's own, with `barid init`.
    pub pin: [u8; 32],
}

/// The certificate's life, in years; made anew when half of it is over.
const LEAF_YEARS: i16 = 2;
const AUTHORITY_YEARS: i16 = 20;
const LEAF_RENEWED_AFTER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Makes the authority and this relay's certificate in `dir`. `hosts` are the names and addresses
/// under which the relay is reached.
pub fn create(dir: &Path, common_name: &str, hosts: &[String]) -> Result<(), TlsError> {
    DataDir::create_private_dir(dir).map_err(|source| file_error(dir, source))?;
    let key = KeyPair::generate()?;
    let authority = authority_params(common_name).self_signed(&key)?;
    write(&dir.join("ca.key"), &key.serialize_pem())?;
    write(&dir.join("ca.pem"), &authority.pem())?;
    write(&dir.join("names"), &format!("{common_name}\n{}\n", hosts.join("\n")))?;
    issue(dir)
}

/// Makes this relay's certificate anew, for the same names.
fn issue(dir: &Path) -> Result<(), TlsError> {
    let names = read(&dir.join("names"))?;
    let mut names = names.lines().map(str::to_owned);
    let common_name = names.next().unwrap_or_default();
    let issuer = Issuer::new(authority_params(&common_name), KeyPair::from_pem(&read(&dir.join("ca.key"))?)?);
    let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    params.key_usages.push(KeyUsagePurpose::DigitalSignature);
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, LEAF_YEARS);
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &issuer)?;
    // The authority's certificate goes along: phones pin it and need to see it.
    write(&dir.join("key.pem"), &key.serialize_pem())?;
    write(&dir.join("cert.pem"), &format!("{}{}", leaf.pem(), read(&dir.join("ca.pem"))?))
}

/// The parts of the authority's certificate that signing with it again needs to know.
fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{common_name} authority"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, AUTHORITY_YEARS);
    params
}

/// From the beginning of 2026, for so many years from now. Phones verify at that moment, because a
/// clock in the desert may be years off; when a certificate was made is nobody's concern.
fn set_validity(params: &mut CertificateParams, years: i16) {
    let today = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
    let end = today.checked_add(jiff::Span::new().years(years)).unwrap_or(today);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(
        i32::from(end.year()).max(2027),
        end.month().unsigned_abs(),
        end.day().unsigned_abs().min(28),
    );
}

/// Reads what is to be served, or nothing where plain HTTP is safe.
pub fn load(config: &Config) -> Result<Option<Served>, TlsError> {
    if let Some((cert, key)) = config.named_certificate() {
        return read_served(cert, key).map(Some);
    }
    if config.listens_on_loopback() {
        return Ok(None);
    }
    let dir = DataDir::new(&config.data).tls();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    if !cert.exists() || !key.exists() {
        return Err(TlsError::Missing { listen: config.listen });
    }
    if is_due(&cert) && dir.join("ca.key").exists() {
        issue(&dir)?;
        tracing::info!("certificate made anew");
    }
    read_served(&cert, &key).map(Some)
}

fn is_due(cert: &Path) -> bool {
    let written = fs::metadata(cert).and_then(|metadata| metadata.modified());
    written.is_ok_and(|written| {
        SystemTime::now().duration_since(written).is_ok_and(|age| age > LEAF_RENEWED_AFTER)
    })
}

fn read_served(cert: &Path, key: &Path) -> Result<Served, TlsError> {
    let pem_error = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(pem_error(cert))?;
    let Some(last) = chain.last() else {
        return Err(pem_error(cert)(rustls::pki_types::pem::Error::NoItemsFound));
    };
    let pin = Sha256::digest(last).into();
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem_error(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Served { config: Arc::new(config), pin })
}

fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    DataDir::write_private(path, text.as_bytes()).map_err(|source| file_error(path, source))
}

fn read(path: &Path) -> Result<String, TlsError> {
    fs::read_to_string(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), source }
}
