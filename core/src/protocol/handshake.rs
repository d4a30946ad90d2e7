//! How the two ends prove who they are.
//!
//! Both sign one transcript: everything that was said in the clear, and both keys. A signature made
//! for one link, one relay or one direction therefore proves nothing anywhere else.

use super::enrol::EnrolSessionConfig;
use super::message::{Enrol, Enrolled, Enrolment, Hello, Proof, Standing, Versions, Welcome};
use crate::id::DeviceId;
use crate::identity::{Identity, WrongSignature, verify};

const RELAY_CONTEXT: &str = "barid 2026 link relay";
const DEVICE_CONTEXT: &str = "barid 2026 link device";
const ENROL_CONTEXT: &str = "barid 2026 enrol device";
const ENROLLED_CONTEXT: &str = "barid 2026 enrol relay";

/// What both ends of a link have seen of it.
#[derive(Debug, Clone)]
pub(super) struct Transcript(Vec<u8>);

impl Transcript {
    fn new(hello: &Hello, relay: DeviceId, version: u8, relay_nonce: &[u8; 16]) -> Self {
        let mut bytes = Vec::with_capacity(107);
        bytes.extend([hello.versions.lowest, hello.versions.highest, version]);
        bytes.extend(hello.device.as_bytes());
        bytes.extend(hello.incarnation.as_bytes());
        bytes.extend(relay.as_bytes());
        bytes.extend(hello.nonce);
        bytes.extend(relay_nonce);
        Self(bytes)
    }

    fn with(&self, standing: &Standing) -> Vec<u8> {
        let mut bytes = self.0.clone();
        standing.encode(&mut bytes);
        bytes
    }
}

/// The relay proves itself first: a device tells a stranger nothing but its name.
pub(super) fn welcome(
    hello: &Hello,
    relay: &Identity,
    version: u8,
    nonce: [u8; 16],
) -> (Welcome, Transcript) {
    let transcript = Transcript::new(hello, relay.device(), version, &nonce);
    let signature = relay.sign(RELAY_CONTEXT, &transcript.0);
    (Welcome { version, nonce, signature }, transcript)
}

pub(super) fn check_welcome(
    hello: &Hello,
    relay: DeviceId,
    welcome: &Welcome,
) -> Result<Transcript, WrongSignature> {
    let transcript = Transcript::new(hello, relay, welcome.version, &welcome.nonce);
    verify(relay, RELAY_CONTEXT, &transcript.0, &welcome.signature)?;
    Ok(transcript)
}

pub(super) fn prove(transcript: &Transcript, device: &Identity, standing: Standing) -> Proof {
    Proof { signature: device.sign(DEVICE_CONTEXT, &transcript.with(&standing)), standing }
}

pub(super) fn check_proof(
    transcript: &Transcript,
    device: DeviceId,
    proof: &Proof,
) -> Result<(), WrongSignature> {
    verify(device, DEVICE_CONTEXT, &transcript.with(&proof.standing), &proof.signature)
}

fn enrol_transcript(enrol: &Enrol, relay: DeviceId) -> Vec<u8> {
    let mut bytes = vec![enrol.versions.lowest, enrol.versions.highest];
    bytes.extend(relay.as_bytes());
    enrol.request(&mut bytes);
    bytes
}

/// Asks for enrolment at one relay: the signature is worth nothing at another.
pub(super) fn enrol(versions: Versions, config: &EnrolSessionConfig) -> Enrol {
    let mut enrol = Enrol {
        versions,
        token: config.token,
        device: config.identity.device(),
        nonce: config.nonce,
        signature: [0; 64],
        label: config.label.clone(),
    };
    enrol.signature = config.identity.sign(ENROL_CONTEXT, &enrol_transcript(&enrol, config.relay));
    enrol
}

pub(super) fn check_enrol(enrol: &Enrol, relay: DeviceId) -> Result<(), WrongSignature> {
    verify(enrol.device, ENROL_CONTEXT, &enrol_transcript(enrol, relay), &enrol.signature)
}

fn enrolled_transcript(enrol: &Enrol, relay: DeviceId, version: u8, membership: &Enrolment) -> Vec<u8> {
    let mut bytes = enrol_transcript(enrol, relay);
    bytes.push(version);
    membership.encode(&mut bytes);
    bytes
}

pub(super) fn enrolled(enrol: &Enrol, relay: &Identity, version: u8, membership: Enrolment) -> Enrolled {
    let transcript = enrolled_transcript(enrol, relay.device(), version, &membership);
    Enrolled { version, signature: relay.sign(ENROLLED_CONTEXT, &transcript), membership }
}

pub(super) fn check_enrolled(
    enrol: &Enrol,
    relay: DeviceId,
    enrolled: &Enrolled,
) -> Result<(), WrongSignature> {
    let transcript = enrolled_transcript(enrol, relay, enrolled.version, &enrolled.membership);
    verify(relay, ENROLLED_CONTEXT, &transcript, &enrolled.signature)
}
