//! What a browser sends and gets, without a browser: plain HTTP/1.1 on loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::relay::{ACCOUNT, Relay};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request; the connection ends with it.
pub fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Answer { status, head: head.to_owned(), body }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = Vec::new();
    while let Some((len, rest)) = body.split_once("\r\n") {
        let len = usize::from_str_radix(len.trim(), 16).unwrap_or(0);
        if len == 0 {
            break;
        }
        whole.extend_from_slice(&rest.as_bytes()[..len]);
        body = &rest[len + 2..];
    }
    String::from_utf8_lossy(&whole).into_owned()
}

/// A browser that has logged in.
#[derive(Debug)]
pub struct Browser {
    port: u16,
    cookie: String,
}

impl Browser {
    /// Logs in with the account that `init` made.
    pub fn login(relay: &Relay) -> Self {
        let port = relay.port();
        let origin = format!("http://127.0.0.1:{port}");
        let body = serde_json::json!({ "name": ACCOUNT.0, "password": ACCOUNT.1 }).to_string();
        let headers = [("content-type", "application/json"), ("origin", origin.as_str())];
        let answer = request(port, "POST", "/api/login", &headers, &body);
        assert_eq!(answer.status, 204, "{answer:?}");
        let cookie = answer
            .head
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "))
            .and_then(|cookie| cookie.split(';').next())
            .expect("logging in sets a cookie");
        Self { port, cookie: cookie.to_owned() }
    }

    /// The session's cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Gets a path of the API.
    pub fn get(&self, path: &str) -> Answer {
        request(self.port, "GET", path, &[("cookie", &self.cookie)], "")
    }

    /// Every item of a list, page by page.
    pub fn all(&self, path: &str) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let answer = self.get(&format!("{path}{joint}limit=500{after}"));
            assert_eq!(answer.status, 200, "{answer:?}");
            let page = answer.json();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }
}
