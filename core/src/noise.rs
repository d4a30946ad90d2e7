//! Noise: what keeps a peer's link and a bundle secret and whole.
//!
//! Two patterns of the Noise Protocol Framework, both over the keys that devices have already
//! ([`crate::identity`]): `IKpsk1` between two devices of which one has shown the other a code, and
//! the one-way `N` to a recipient that cannot answer. The protocol is snow's; the arithmetic is that
//! of the crates which are in a phone anyway ([`suite`]). Randomness comes in as an argument, so that
//! every byte can be told beforehand in a test.
//!
//! A Noise message is short, so what is said is cut into *fragments*: one byte, 1 if another follows
//! and 0 if not, and the bytes. All but the last are full: what is said has one form only.

mod suite;

use std::fmt;

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, TransportState};
use zeroize::Zeroizing;

use crate::id::DeviceId;
use crate::identity::{Identity, UnusableKey, agreement_key};
use suite::Suite;

/// Bytes of one Noise message, at most.
pub(crate) const NOISE_LEN_MAX: usize = 65_535;
/// Bytes of what is said in one fragment. With its byte, a tag and a key it fits a Noise message.
pub(crate) const FRAGMENT_LEN: usize = 65_280;
/// Bytes that encryption adds to a fragment: its first byte and a tag.
pub(crate) const FRAGMENT_OVERHEAD_LEN: usize = 17;

const _: () = assert!(FRAGMENT_LEN + FRAGMENT_OVERHEAD_LEN + 32 <= NOISE_LEN_MAX);

const PEER_PATTERN: &str = "Noise_IKpsk1_25519_ChaChaPoly_BLAKE2s";
const BUNDLE_PATTERN: &str = "Noise_N_25519_ChaChaPoly_BLAKE2s";
const MORE: u8 = 1;
const LAST: u8 = 0;

/// A message of the other end cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoiseError {
    /// It was altered, comes out of turn, or is by somebody who does not hold the keys.
    #[error("a message was altered or is not by who it should be")]
    Unauthentic,
    /// It is whole, and its fragments break the rules.
    #[error("a message is malformed")]
    Malformed,
    /// More was said than may be.
    #[error("a message is too long")]
    TooLong,
}

impl From<UnusableKey> for NoiseError {
    fn from(_: UnusableKey) -> Self {
        Self::Unauthentic
    }
}

impl From<snow::Error> for NoiseError {
    fn from(_: snow::Error) -> Self {
        Self::Unauthentic
    }
}

/// Half of a handshake between two devices.
pub(crate) struct Handshake(HandshakeState);

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake")
    }
}

/// What one handshake between two devices is made with. `prologue` is what was said in the clear.
pub(crate) struct PeerKeys<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) psk: &'a [u8; 32],
    pub(crate) prologue: &'a [u8],
    /// Random, and never used again.
    pub(crate) ephemeral: [u8; 32],
}

impl Handshake {
    /// For the device that has read the other's code.
    pub(crate) fn joining(keys: &PeerKeys<'_>, inviter: DeviceId) -> Result<Self, NoiseError> {
        let inviter = agreement_key(inviter)?;
        let secret = keys.identity.agreement_secret();
        let builder = peer_builder(keys, &*secret)?.remote_public_key(&inviter)?;
        Ok(Self(builder.build_initiator()?))
    }

    /// For the device that shows a code.
    pub(crate) fn inviting(keys: &PeerKeys<'_>) -> Result<Self, NoiseError> {
        let secret = keys.identity.agreement_secret();
        Ok(Self(peer_builder(keys, &*secret)?.build_responder()?))
    }

    /// The next message of this end, with something to say in it.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut message = vec![0; payload.len() + 2 * 48];
        let len = self.0.write_message(payload, &mut message)?;
        message.truncate(len);
        Ok(message)
    }

    /// What the other end says in its message.
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut payload = vec![0; message.len()];
        let len = self.0.read_message(message, &mut payload)?;
        payload.truncate(len);
        Ok(payload)
    }

    /// Whether the other end has proved that it holds this device's key.
    pub(crate) fn is_with(&self, device: DeviceId) -> bool {
        agreement_key(device).is_ok_and(|key| self.0.get_remote_static() == Some(&key[..]))
    }

    /// Equal on both ends, different on every link, and known to nobody else's choosing.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.get_handshake_hash());
        hash
    }

    /// The channel that the handshake has made; what is said on it has at most `len_max` bytes.
    pub(crate) fn into_channel(self, len_max: usize) -> Result<Channel, NoiseError> {
        Ok(Channel::new(self.0.into_transport_mode()?, len_max))
    }
}

fn params(pattern: &str) -> NoiseParams {
    pattern.parse().expect("the pattern is one of snow's")
}

fn peer_builder<'a>(keys: &'a PeerKeys<'_>, secret: &'a [u8]) -> Result<Builder<'a>, NoiseError> {
    let builder = Builder::with_resolver(params(PEER_PATTERN), Box::new(Suite::new(keys.ephemeral)));
    Ok(builder.local_private_key(secret)?.psk(1, keys.psk)?.prologue(keys.prologue)?)
}

/// Begins what only one recipient can read: the bytes that come first, with the first fragment of
/// what is said first in them, and the channel for everything else.
pub(crate) fn begin_one_way(
    recipient: DeviceId,
    prologue: &[u8],
    ephemeral: [u8; 32],
    first: &[u8],
    len_max: usize,
) -> Result<(Vec<Vec<u8>>, Channel), NoiseError> {
    let recipient = agreement_key(recipient)?;
    let builder = Builder::with_resolver(params(BUNDLE_PATTERN), Box::new(Suite::new(ephemeral)));
    let state = builder.remote_public_key(&recipient)?.prologue(prologue)?.build_initiator()?;
    let mut handshake = Handshake(state);
    let mut fragments = fragments(first);
    let mut messages = vec![handshake.write(&fragments.next().expect("there is always a first"))?];
    let mut channel = handshake.into_channel(len_max)?;
    for fragment in fragments {
        messages.push(channel.seal_fragment(&fragment)?);
    }
    Ok((messages, channel))
}

/// Reads the first message of what was encrypted to this key: the channel for everything else, and
/// what was said first, if it is whole in it.
pub(crate) fn open_one_way(
    identity: &Identity,
    prologue: &[u8],
    message: &[u8],
    len_max: usize,
) -> Result<(Channel, Option<Vec<u8>>), NoiseError> {
    let secret = identity.agreement_secret();
    let builder = Builder::with_resolver(params(BUNDLE_PATTERN), Box::new(Suite::new([0; 32])));
    let state = builder.local_private_key(&*secret)?.prologue(prologue)?.build_responder()?;
    let mut handshake = Handshake(state);
    let fragment = Zeroizing::new(handshake.read(message)?);
    let mut channel = handshake.into_channel(len_max)?;
    let said = channel.join(&fragment)?;
    Ok((channel, said))
}

/// Both directions of what a handshake has made, or one.
pub(crate) struct Channel {
    transport: TransportState,
    partial: Vec<u8>,
    len_max: usize,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({} bytes of a message)", self.partial.len())
    }
}

impl Channel {
    fn new(transport: TransportState, len_max: usize) -> Self {
        Self { transport, partial: Vec::new(), len_max }
    }

    /// From here on, what is said has at most so many bytes.
    pub(crate) fn set_len_max(&mut self, len_max: usize) {
        self.len_max = len_max;
    }

    /// Forgets what was said in part.
    pub(crate) fn forget_partial(&mut self) {
        self.partial.clear();
    }

    /// Encrypts what is to be said: its Noise messages, in order.
    pub(crate) fn seal(&mut self, said: &[u8]) -> Result<Vec<Vec<u8>>, NoiseError> {
        debug_assert!(said.len() <= self.len_max, "what is said fits the channel");
        fragments(said).map(|fragment| self.seal_fragment(&fragment)).collect()
    }

    fn seal_fragment(&mut self, fragment: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut message = vec![0; fragment.len() + FRAGMENT_OVERHEAD_LEN - 1];
        let len = self.transport.write_message(fragment, &mut message)?;
        message.truncate(len);
        Ok(message)
    }

    /// Takes a Noise message in; what was said, once it is whole.
    pub(crate) fn open(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, NoiseError> {
        let mut fragment = vec![0; message.len()];
        let len = self.transport.read_message(message, &mut fragment)?;
        self.join(&fragment[..len])
    }

    fn join(&mut self, fragment: &[u8]) -> Result<Option<Vec<u8>>, NoiseError> {
        let (&flag, bytes) = fragment.split_first().ok_or(NoiseError::Malformed)?;
        let is_full = bytes.len() == FRAGMENT_LEN;
        if bytes.is_empty() || bytes.len() > FRAGMENT_LEN || flag > MORE || (flag == MORE && !is_full) {
            return Err(NoiseError::Malformed);
        }
        if self.partial.len() + bytes.len() > self.len_max {
            return Err(NoiseError::TooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok((flag == LAST).then(|| std::mem::take(&mut self.partial)))
    }
}

/// What is said, cut into fragments. Saying nothing is not saying anything.
fn fragments(said: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    debug_assert!(!said.is_empty(), "there is something to say");
    let count = said.len().div_ceil(FRAGMENT_LEN);
    said.chunks(FRAGMENT_LEN).enumerate().map(move |(index, bytes)| {
        let mut fragment = Vec::with_capacity(bytes.len() + FRAGMENT_OVERHEAD_LEN);
        fragment.push(if index + 1 == count { LAST } else { MORE });
        fragment.extend_from_slice(bytes);
        fragment
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
