//! Known answers of another implementation, and what a stranger cannot do.

use super::*;
use crate::id::from_hex;

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    from_hex(hex).unwrap()
}

fn vec(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

const PROLOGUE: &[u8] = b"John Galt";
const PSK: &[u8; 32] = b"This is my Austrian perspective!";
const RESPONDER: &str = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
const RESPONDER_PUBLIC: &str = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62";
const EPHEMERAL: &str = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";

/// From the test vectors of cacophony, an implementation in Haskell.
#[test]
fn the_suite_makes_the_bytes_that_another_implementation_makes_between_peers() {
    let secret = bytes::<32>("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1");
    let suite = Box::new(Suite::new(bytes(EPHEMERAL)));
    let mut initiator = Builder::with_resolver(params(PEER_PATTERN), suite)
        .local_private_key(&secret)
        .unwrap()
        .psk(1, PSK)
        .unwrap()
        .prologue(PROLOGUE)
        .unwrap()
        .remote_public_key(&bytes::<32>(RESPONDER_PUBLIC))
        .unwrap()
        .build_initiator()
        .unwrap();
    let ephemeral = bytes("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b");
    let mut responder = Builder::with_resolver(params(PEER_PATTERN), Box::new(Suite::new(ephemeral)))
        .local_private_key(&bytes::<32>(RESPONDER))
        .unwrap()
        .psk(1, PSK)
        .unwrap()
        .prologue(PROLOGUE)
        .unwrap()
        .build_responder()
        .unwrap();
    let (mut message, mut payload) = ([0; 1000], [0; 1000]);
    let len = initiator.write_message(b"Ludwig von Mises", &mut message).unwrap();
    let expected = "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c794498e192a0a94102bd8fa1a182979c012\
        f4fa2558d899e2e58d4d4aba041a56b35297560de33bf7fe93f8e567791039539f59e76a00721ea7c1095fbccf10a13df79f3b5605b\
        fb0617c309698737c73429";
    assert_eq!(&message[..len], vec(expected));
    let len = responder.read_message(&message[..len], &mut payload).unwrap();
    assert_eq!(&payload[..len], b"Ludwig von Mises");
    let len = responder.write_message(b"Murray Rothbard", &mut message).unwrap();
    let expected = "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088434523a21bc9f1ce57af3dc28365e1e33c\
        25f577fc4aa2149d5d6a2ab0911beb";
    assert_eq!(&message[..len], vec(expected));
    initiator.read_message(&message[..len], &mut payload).unwrap();
    let hash = "a02debd3baac76b19863f7d1175927193fcee661e9f7ae87b6d086cb4926c783";
    assert_eq!(initiator.get_handshake_hash(), bytes::<32>(hash));
    let mut initiator = initiator.into_transport_mode().unwrap();
    let mut responder = responder.into_transport_mode().unwrap();
    let len = initiator.write_message(b"F. A. Hayek", &mut message).unwrap();
    assert_eq!(&message[..len], vec("dc15d1ceff592ff648bba38f9bc63c0049600307fba700ba2a0b2b"));
    let len = responder.write_message(b"Carl Menger", &mut message).unwrap();
    assert_eq!(&message[..len], vec("85f1e8c573c0d9fd188080532a0ad1a6d457974c91f2ff0f21ecaf"));
}

#[test]
fn the_suite_makes_the_bytes_that_another_implementation_makes_one_way() {
    let mut state = Builder::with_resolver(params(BUNDLE_PATTERN), Box::new(Suite::new(bytes(EPHEMERAL))))
        .remote_public_key(&bytes::<32>(RESPONDER_PUBLIC))
        .unwrap()
        .prologue(PROLOGUE)
        .unwrap()
        .build_initiator()
        .unwrap();
    let mut message = [0; 1000];
    let len = state.write_message(b"Ludwig von Mises", &mut message).unwrap();
    let expected = "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79441b168ed8bbe8220b52bbbde6593d109d7\
        8c299b567f6e69276efcf2659c39073";
    assert_eq!(&message[..len], vec(expected));
    let mut state = state.into_transport_mode().unwrap();
    let len = state.write_message(b"Murray Rothbard", &mut message).unwrap();
    assert_eq!(&message[..len], vec("a7b5d1962001e9c4d965ea5f133941e9e6989094bcde637a582c34b954f34a"));
}

fn identity(n: u8) -> Identity {
    Identity::from_seed([n; 32])
}

fn keys<'a>(identity: &'a Identity, psk: &'a [u8; 32], ephemeral: u8) -> PeerKeys<'a> {
    PeerKeys { identity, psk, prologue: b"prologue", ephemeral: [ephemeral; 32] }
}

/// Both ends of a channel between two devices.
fn channels() -> (Channel, Channel) {
    let (joiner, inviter) = (identity(1), identity(2));
    let mut joining = Handshake::joining(&keys(&joiner, &[9; 32], 3), inviter.device()).unwrap();
    let mut inviting = Handshake::inviting(&keys(&inviter, &[9; 32], 4)).unwrap();
    assert_eq!(inviting.read(&joining.write(b"one").unwrap()).unwrap(), b"one");
    assert!(inviting.is_with(joiner.device()) && !inviting.is_with(inviter.device()));
    assert_eq!(joining.read(&inviting.write(b"two").unwrap()).unwrap(), b"two");
    assert_eq!(joining.hash(), inviting.hash());
    (joining.into_channel(200_000).unwrap(), inviting.into_channel(200_000).unwrap())
}

#[test]
fn only_who_holds_the_key_and_the_code_can_shake_hands() {
    let (joiner, inviter, stranger) = (identity(1), identity(2), identity(3));
    let first = |keys: &PeerKeys<'_>, to: &Identity| {
        Handshake::joining(keys, to.device()).unwrap().write(b"me").unwrap()
    };
    let read = |message: &[u8]| Handshake::inviting(&keys(&inviter, &[9; 32], 4)).unwrap().read(message);
    assert!(read(&first(&keys(&joiner, &[9; 32], 3), &inviter)).is_ok());
    assert_eq!(read(&first(&keys(&joiner, &[8; 32], 3), &inviter)), Err(NoiseError::Unauthentic), "the code");
    assert_eq!(read(&first(&keys(&joiner, &[9; 32], 3), &stranger)), Err(NoiseError::Unauthentic), "the key");
    let other = PeerKeys { prologue: b"another", ..keys(&joiner, &[9; 32], 3) };
    assert_eq!(read(&first(&other, &inviter)), Err(NoiseError::Unauthentic), "what was said in the clear");
}

#[test]
fn what_is_said_comes_out_whole_whatever_its_length_and_altered_not_at_all() {
    let (mut one, mut other) = channels();
    for len in [1, FRAGMENT_LEN - 1, FRAGMENT_LEN, FRAGMENT_LEN + 1, 3 * FRAGMENT_LEN, 200_000] {
        let said: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let messages = one.seal(&said).unwrap();
        assert_eq!(messages.len(), len.div_ceil(FRAGMENT_LEN));
        assert!(messages.iter().all(|message| message.len() <= NOISE_LEN_MAX));
        let heard: Vec<_> = messages.iter().filter_map(|message| other.open(message).unwrap()).collect();
        assert_eq!(heard, [said]);
    }
    let mut message = other.seal(b"said").unwrap().remove(0);
    message[3] ^= 1;
    assert_eq!(one.open(&message), Err(NoiseError::Unauthentic));
}

#[test]
fn fragments_that_break_the_rules_or_are_too_many_are_refused_without_growth() {
    for fragment in [&[][..], &[0], &[1], &[2, 7], &[1, 7], &[0; FRAGMENT_LEN + 2]] {
        let (mut one, mut other) = channels();
        let message = one.seal_fragment(fragment).unwrap();
        assert_eq!(other.open(&message), Err(NoiseError::Malformed), "{} bytes", fragment.len());
    }
    let (mut one, mut other) = channels();
    let full = [&[MORE][..], &[7; FRAGMENT_LEN]].concat();
    for _ in 0..3 {
        assert_eq!(other.open(&one.seal_fragment(&full).unwrap()), Ok(None));
    }
    assert_eq!(other.partial.len(), 3 * FRAGMENT_LEN);
    assert_eq!(other.open(&one.seal_fragment(&full).unwrap()), Err(NoiseError::TooLong));
}

#[test]
fn what_is_for_one_key_opens_with_no_other() {
    let (recipient, stranger) = (identity(1), identity(2));
    for first in [vec![1], vec![2; FRAGMENT_LEN], vec![3; 2 * FRAGMENT_LEN + 1]] {
        let (messages, mut one) = begin_one_way(recipient.device(), b"p", [5; 32], &first, 200_000).unwrap();
        let open = |identity: &Identity, prologue| open_one_way(identity, prologue, &messages[0], 200_000);
        assert_eq!(open(&stranger, b"p").err(), Some(NoiseError::Unauthentic));
        assert_eq!(open(&recipient, b"q").err(), Some(NoiseError::Unauthentic));
        let (mut other, mut said) = open(&recipient, b"p").unwrap();
        for message in &messages[1..] {
            assert_eq!(said, None);
            said = other.open(message).unwrap();
        }
        assert_eq!(said, Some(first));
        assert_eq!(other.open(&one.seal(b"more").unwrap()[0]), Ok(Some(b"more".to_vec())));
    }
}

#[test]
fn nothing_is_encrypted_to_a_key_of_small_order_or_to_no_key() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    for bytes in [[0; 32], neutral, [2; 32]] {
        let device = DeviceId::from_bytes(bytes);
        assert_eq!(begin_one_way(device, b"", [5; 32], b"x", 10).err(), Some(NoiseError::Unauthentic));
    }
}
