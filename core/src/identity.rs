//! A secret signing key and what is proved with it.
//!
//! Every signature is made under a named context, so that bytes signed for one purpose never pass
//! for another: what is signed is the context, one zero byte, and the message. The key is wiped
//! from memory when it is dropped, and nothing here knows where it is kept.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::id::DeviceId;

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// A signature is not by this key over these bytes, or the key is no usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not by this key over these bytes")]
pub struct WrongSignature;

/// A device's or an administrator's secret key.
#[derive(Clone)]
pub struct Identity(SigningKey);

/// Shows the public key alone.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.device())
    }
}

impl Identity {
    /// The key that this seed makes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// A new key from the system's randomness.
    ///
    /// # Panics
    /// When the system has no randomness: no key made then could be trusted.
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).expect("a key needs the system's randomness");
        Self(SigningKey::from_bytes(&seed))
    }

    /// The seed, for whoever keeps it (a wrapped file, a Keystore).
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key, by which everybody knows this identity.
    pub fn device(&self) -> DeviceId {
        DeviceId::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs a message under a context.
    pub fn sign(&self, context: &str, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(&under(context, message)).to_bytes()
    }
}

/// Checks a signature under a context: strictly, so that every replica gives the same verdict.
pub fn verify(
    device: DeviceId,
    context: &str,
    message: &[u8],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(), WrongSignature> {
    VerifyingKey::from_bytes(device.as_bytes())
        .and_then(|key| key.verify_strict(&under(context, message), &Signature::from_bytes(signature)))
        .map_err(|_| WrongSignature)
}

/// No context holds a zero byte, so no two pairs of context and message are the same bytes.
fn under(context: &str, message: &[u8]) -> Vec<u8> {
    debug_assert!(!context.bytes().any(|byte| byte == 0), "a context holds no zero byte");
    [context.as_bytes(), &[0], message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_key_context_and_message_alone() {
        let identity = Identity::from_seed([7; 32]);
        let signature = identity.sign("one", b"message");
        assert_eq!(verify(identity.device(), "one", b"message", &signature), Ok(()));
        for (device, context, message) in [
            (Identity::from_seed([8; 32]).device(), "one", &b"message"[..]),
            (identity.device(), "two", b"message"),
            (identity.device(), "one", b"massage"),
            (identity.device(), "on", b"e\0message"),
        ] {
            assert_eq!(verify(device, context, message, &signature), Err(WrongSignature));
        }
    }

    #[test]
    fn a_key_of_small_order_verifies_nothing() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert_eq!(verify(DeviceId::from_bytes(neutral), "one", b"message", &signature), Err(WrongSignature));
    }

    #[test]
    fn a_key_comes_back_from_its_seed_and_never_shows_it() {
        let identity = Identity::generate();
        assert_eq!(Identity::from_seed(*identity.seed()).device(), identity.device());
        assert!(!format!("{identity:?}").contains(&crate::id::to_hex(&identity.seed()[..])));
    }
}
