//! A secret signing key and what is proved with it.
//!
//! Every signature is made under a named context, so that bytes signed for one purpose never pass
//! for another: what is signed is the context, one zero byte, and the message. The key is wiped
//! from memory when it is dropped, and nothing here knows where it is kept.
//!
//! The same key agrees on secrets (a peer's link, a bundle): an Ed25519 key and an X25519 key are one
//! number on two forms of one curve, so a device needs no second key that somebody would have to
//! certify. What is signed and what is agreed on never share a hash or a context.

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

/// A device's id is no key that anything could be encrypted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the device's id is not a usable key")]
pub struct UnusableKey;

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

    /// The secret half of the X25519 key that [`agreement_key`] makes of the public one.
    pub(crate) fn agreement_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }
}

/// The X25519 key with which whoever holds this device's key agrees on secrets.
///
/// A key and its negative (the same bytes but for the sign's bit) make one X25519 key; whoever holds
/// the secret of one holds that of the other, so nobody can pass for somebody else by it.
pub(crate) fn agreement_key(device: DeviceId) -> Result<[u8; 32], UnusableKey> {
    let key = VerifyingKey::from_bytes(device.as_bytes()).map_err(|_| UnusableKey)?;
    if key.is_weak() { Err(UnusableKey) } else { Ok(key.to_montgomery().to_bytes()) }
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

    /// The known answer of libsodium's test of `crypto_sign_ed25519_sk_to_curve25519`.
    #[test]
    fn an_agreement_key_is_the_one_that_others_make_of_the_same_key() {
        let seed = "421151a459faeade3d247115f94aedae42318124095afabe4d1451a559faedee";
        let identity = Identity::from_seed(crate::id::from_hex(seed).unwrap());
        let public = agreement_key(identity.device()).unwrap();
        let expected = "f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50";
        assert_eq!(crate::id::to_hex(&public), expected);
        // Libsodium gives the secret clamped, as the agreement itself does here.
        let mut secret = *identity.agreement_secret();
        secret[0] &= 248;
        secret[31] = secret[31] & 127 | 64;
        let expected = "8052030376d47112be7f73ed7a019293dd12ad910b654455798b4667d73de166";
        assert_eq!(crate::id::to_hex(&secret), expected);
        let made = curve25519_dalek::MontgomeryPoint::mul_base_clamped(*identity.agreement_secret());
        assert_eq!(made.to_bytes(), public);
    }
}
