//! TLS that trusts exactly the certificate named by the enrolment code.
//!
//! There is no public authority in the desert. The pin is the SHA-256 of one certificate of the
//! chain that the relay presents: its small authority's, or its own.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

/// Every certificate that a relay's own authority ever makes is valid at this moment (2026-01-01).
const ALWAYS_VALID: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));

/// The SHA-256 of a certificate in DER.
pub fn certificate_pin(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// A client configuration that accepts only a chain with the pinned certificate in it.
pub(super) fn pinned(pin: [u8; 32]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = PinnedVerifier { pin, provider: provider.clone() };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[derive(Debug)]
struct PinnedVerifier {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if certificate_pin(end_entity) == self.pin {
            // Its name and dates add nothing: this very certificate was handed over at enrolment,
            // and a phone's clock may be years off.
            return Ok(ServerCertVerified::assertion());
        }
        let authority = intermediates
            .iter()
            .find(|certificate| certificate_pin(certificate) == self.pin)
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let verify_at =
            |now| verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        // A phone's clock may be years off. Only an authority that is not a relay's own asks for it.
        verify_at(ALWAYS_VALID).or_else(|_| verify_at(now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Made by `barid init`, for `relay.example`.
    const LEAF: &[u8] = include_bytes!("fixture/leaf.der");
    const AUTHORITY: &[u8] = include_bytes!("fixture/authority.der");

    fn verify(pinned: &[u8], name: &str, year: u64) -> Result<ServerCertVerified, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = PinnedVerifier { pin: certificate_pin(pinned), provider };
        let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600));
        let (leaf, authority) = (CertificateDer::from(LEAF), CertificateDer::from(AUTHORITY));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&leaf, &[authority], &name, &[], now)
    }

    #[test]
    fn a_relay_is_known_by_its_pin_whatever_the_phones_clock_says() {
        for year in [1970, 2026, 2090] {
            assert!(verify(AUTHORITY, "relay.example", year).is_ok(), "{year}");
            assert!(verify(LEAF, "whatever.example", year).is_ok(), "{year}");
        }
    }

    #[test]
    fn another_name_or_another_pin_is_refused() {
        assert!(verify(AUTHORITY, "other.example", 2026).is_err());
        assert!(verify(b"another certificate", "relay.example", 2026).is_err());
    }
}
