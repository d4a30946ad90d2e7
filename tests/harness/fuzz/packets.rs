//! An input that is a list of packets: each two bytes of length and so many bytes, as far as there are.

/// The packets of an input; a length beyond the end counts up to the end.
pub(crate) fn split(mut input: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    while let Some((len, rest)) = input.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
        let (packet, rest) = rest.split_at(len);
        packets.push(packet);
        input = rest;
    }
    packets
}

/// The input of these packets.
pub(crate) fn join<T: AsRef<[u8]>>(packets: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut input = Vec::new();
    for packet in packets {
        let packet = packet.as_ref();
        let packet = &packet[..packet.len().min(usize::from(u16::MAX))];
        input.extend((packet.len() as u16).to_be_bytes());
        input.extend(packet);
    }
    input
}
