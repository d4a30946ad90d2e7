//! What people and other programs hand over as text.

use std::io::Cursor;

use barid_core::clock::Timestamp;
use barid_core::enrolment::EnrolmentCode as Code;
use barid_core::id::{DeviceId, to_hex};
use barid_server::demo::read_gpx;
use barid_server::view::page::read_token;

use super::super::{Target, bits, kind, signal};

/// An enrolment code: typed text, or the bytes under it with a checksum that fits.
pub(super) struct EnrolmentCode;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A code around any payload.
fn code_of(payload: &[u8]) -> String {
    let sum = blake3::derive_key("barid 2026 enrolment code", payload);
    let (mut text, mut held, mut bits) = ("BARID1-".to_owned(), 0u32, 0);
    for byte in payload.iter().chain(&sum[..4]) {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(ALPHABET[(held >> bits) as usize & 31] as char);
        }
    }
    if bits > 0 {
        text.push(ALPHABET[(held << (5 - bits)) as usize & 31] as char);
    }
    text
}

impl Target for EnrolmentCode {
    fn name(&self) -> &'static str {
        "enrolment-code"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let code = |url: &str, certificate_pin| Code {
            url: url.to_owned(),
            relay_key: DeviceId::from_bytes([7; 32]),
            certificate_pin,
            token: [0xab; 16],
            expires: Timestamp::from_millis(1_790_000_000_000),
        };
        let codes = [code("ws://127.0.0.1:7600", None), code("wss://[2001:db8::1]:7600", Some([9; 32]))];
        let texts = codes.iter().map(|code| [&[0], code.to_string().as_bytes()].concat());
        let payload = [&[1, 1][..], &[7; 32], &[1; 16], &[0; 8], b"relay.example:7600"].concat();
        let typed = [&[0], "barid1-٠١٢٣ \u{200f}۴".as_bytes()].concat();
        texts.chain([payload, typed]).collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let (mode, rest) = input.split_first().unwrap_or((&0, &[]));
        let text = if mode % 2 == 0 { String::from_utf8_lossy(rest).into_owned() } else { code_of(rest) };
        match text.parse::<Code>() {
            Err(error) => signal((1, kind(&error))),
            Ok(code) => {
                assert!(code.check().is_ok(), "an address that is read can be written");
                assert_eq!(code.to_string().parse(), Ok(code.clone()), "a code reads back as it was");
                signal((2, code.certificate_pin.is_some(), bits(code.url.len())))
            }
        }
    }
}

/// A page token: any text, or one with a hash that fits.
pub(super) struct PageToken;

impl Target for PageToken {
    fn name(&self) -> &'static str {
        "page-token"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let id = "01990000-0000-7000-8000-000000000000";
        let token = format!("-5.{id}.{}.{}", to_hex(&[2; 32]), to_hex(b"event"));
        vec![[&[1], token.as_bytes()].concat(), [&[0], token.as_bytes(), b".000000000000"].concat()]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let (mode, rest) = input.split_first().unwrap_or((&0, &[]));
        let mut text = String::from_utf8_lossy(rest).into_owned();
        if mode % 2 == 1 {
            let hash = blake3::derive_key("barid 2026 page token", text.as_bytes());
            text = format!("{text}.{}", to_hex(&hash[..6]));
        }
        match read_token(&text) {
            None => signal((1, bits(text.matches('.').count()))),
            Some(token) => {
                assert_eq!(token.to_string().parse(), Ok(token.clone()), "a token reads back as it was");
                signal((2, bits(token.kind.len()), token.time.as_millis() < 0))
            }
        }
    }
}

/// A GPX file, as the demo takes one.
pub(super) struct Gpx;

impl Target for Gpx {
    fn name(&self) -> &'static str {
        "gpx"
    }

    fn len_max(&self) -> usize {
        64 * 1024
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let point = |name: &str, at: usize| {
            format!(
                "<{name} lat=\"{}\" lon=\"10.{at}\"><ele>5</ele><time>2026-11-24T20:00:0{at}Z</time></{name}>",
                24 + at
            )
        };
        let points = |name: &str| (0..5).map(|at| point(name, at)).collect::<String>();
        let file = |body: &str| {
            let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gpx version=\"1.1\" creator=\"x\">";
            format!("{head}{body}</gpx>").into_bytes()
        };
        let entities = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\">]>";
        let bomb = format!("{entities}<gpx version=\"1.1\" creator=\"&b;\"><name>&b;</name></gpx>");
        vec![
            file(&format!("<trk><name>مسار</name><trkseg>{}</trkseg></trk>", points("trkpt"))),
            file(&format!("<rte><name>r</name>{}</rte>", points("rtept"))),
            file(&format!("<metadata><name>n</name></metadata>{}", points("wpt"))),
            bomb.into_bytes(),
        ]
    }

    fn words(&self) -> Vec<Vec<u8>> {
        [
            "<trk>",
            "</trk>",
            "<trkseg>",
            "lat=\"91\"",
            "lon=\"NaN\"",
            "<![CDATA[",
            "]]>",
            "&lt;",
            "&#0;",
            "<!--",
        ]
        .map(|word| word.as_bytes().to_vec())
        .into()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        match read_gpx(Cursor::new(input)) {
            Err(error) => signal((1, kind(&error))),
            Ok(points) => {
                let on_earth = points.iter().all(|point| point.lat.abs() <= 90.0 && point.lon.abs() <= 180.0);
                assert!(points.len() >= 2 && on_earth, "a route can be ridden");
                signal((2, bits(points.len())))
            }
        }
    }
}
