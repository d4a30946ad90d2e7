//! `barid enrol`: a code that makes one phone a member.

use std::net::SocketAddr;

use barid_core::clock::system_clock;
use barid_core::enrolment::EnrolmentCode;
use barid_core::id::OrganisationId;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::AdminError;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::enrolment::Enrolments;
use crate::relay_db::RelayDb;
use crate::{keys, tls};

/// Makes a code for one device. `address` is where the relay really listens, if that is known.
pub fn enrol(
    config: &Config,
    address: SocketAddr,
    organisation: OrganisationId,
    label: &str,
) -> Result<EnrolmentCode, AdminError> {
    let data = DataDir::new(&config.data);
    let relay_key = keys::load(&data.relay_key())?.device();
    let enrolments = Enrolments::new(RelayDb::open(&data.relay_db())?, data, system_clock());
    let issued = enrolments.issue(organisation, label)?;
    Ok(EnrolmentCode {
        url: config.device_url(address),
        relay_key,
        certificate_pin: tls::load(config)?.map(|served| served.pin),
        token: *issued.token,
        expires: issued.expires,
    })
}

/// The code as a QR code of half-block characters, dark on light whatever the terminal's colours.
/// `None` if it is too long for one.
pub fn qr(code: &EnrolmentCode) -> Option<String> {
    let qr = QrCode::with_error_correction_level(code.to_string(), EcLevel::L).ok()?;
    // On a dark terminal the character's colour is the light one.
    Some(qr.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build())
}
