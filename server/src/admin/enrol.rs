//! `barid enrol`: a code that makes one phone a member.

use std::net::SocketAddr;

use barid_core::clock::system_clock;
use barid_core::enrolment::EnrolmentCode;
use barid_core::id::{OrganisationId, from_hex};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::AdminError;
use crate::config::{Config, as_device_url};
use crate::data_dir::DataDir;
use crate::enrolment::Enrolments;
use crate::relay_db::RelayDb;
use crate::{keys, tls};

/// Makes a code for one device. It carries the address of the relay that runs here now, unless
/// `url` is another way to reach it; of one that does not run yet, the address in its settings.
pub fn enrol(
    config: &Config,
    url: Option<&str>,
    organisation: OrganisationId,
    label: &str,
) -> Result<EnrolmentCode, AdminError> {
    let data = DataDir::new(&config.data);
    let relay_key = keys::load(&data.relay_key())?.device();
    let (running_url, certificate_pin) = reached(&data, config)?;
    let url = url.map_or(running_url, as_device_url);
    if is_unspecified(&url) {
        return Err(AdminError::NoAddress(url));
    }
    let enrolments = Enrolments::new(RelayDb::open(&data.relay_db())?, data, system_clock());
    let issued = enrolments.issue(organisation, label)?;
    let (token, expires) = (*issued.token, issued.expires);
    let code = EnrolmentCode { url, relay_key, certificate_pin, token, expires };
    code.check()?;
    Ok(code)
}

fn reached(data: &DataDir, config: &Config) -> Result<(String, Option<[u8; 32]>), AdminError> {
    Ok(match data.serving().map_err(AdminError::Directory)? {
        Some(serving) => {
            let pin = serving.certificate_pin.as_deref().and_then(from_hex);
            (serving.device_url, pin)
        }
        None => (config.device_url(config.listen), tls::load(config)?.map(|served| served.pin)),
    })
}

/// An address to listen on everywhere is no address to go to.
fn is_unspecified(url: &str) -> bool {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    authority.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified() || address.port() == 0)
}

/// The code as a QR code of half-block characters: what is dark in it is drawn, so it belongs black
/// on white. `None` if it is too long for one.
pub fn qr(code: &EnrolmentCode) -> Option<String> {
    let qr = QrCode::with_error_correction_level(code.to_string(), EcLevel::L).ok()?;
    Some(qr.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}
