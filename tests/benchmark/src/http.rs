//! As much of HTTP/1.1 as the floor needs: bodies with a length, over connections that stay open.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Either end's.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer's body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        self.send(&format!("{method} {path} HTTP/1.1\r\nhost: floor"), body)?;
        match self.receive()? {
            Some((status, body)) if status.contains(" 200 ") => Ok(body),
            answer => Err(io::Error::other(format!("{path}: {:?}", answer.map(|(status, _)| status)))),
        }
    }

    /// Answers.
    pub(crate) fn answer(&mut self, body: &[u8]) -> io::Result<()> {
        self.send("HTTP/1.1 200 OK", body)
    }

    fn send(&mut self, first: &str, body: &[u8]) -> io::Result<()> {
        let mut message = format!("{first}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        message.extend_from_slice(body);
        self.stream.get_mut().write_all(&message)
    }

    /// The first line and the body; nothing when the other end is gone.
    pub(crate) fn receive(&mut self) -> io::Result<Option<(String, Vec<u8>)>> {
        let (mut first, mut len) = (String::new(), 0);
        if self.stream.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; len];
        io::Read::read_exact(&mut self.stream, &mut body)?;
        Ok(Some((first, body)))
    }
}
