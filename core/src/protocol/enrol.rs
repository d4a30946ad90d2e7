//! The device's end of its very first link: a token against membership.
//!
//! It ends with the answer; the enrolled device then opens a link like any other.

use std::collections::VecDeque;
use std::sync::Arc;

use super::close::{CloseCode, CloseReason};
use super::handshake;
use super::message::{Enrol, Enrolment, Message, Versions};
use crate::clock::Timestamp;
use crate::id::DeviceId;
use crate::identity::Identity;
use crate::limits::{HANDSHAKE_MS_MAX, LABEL_LEN_MAX};

/// Everything that enrolling needs to know.
#[derive(Clone)]
pub struct EnrolSessionConfig {
    /// The key to enrol.
    pub identity: Arc<Identity>,
    /// The relay's key, from the enrolment code.
    pub relay: DeviceId,
    /// The token, from the enrolment code.
    pub token: [u8; 16],
    /// What people call the device; cut at [`LABEL_LEN_MAX`] bytes.
    pub label: String,
    /// Random, and fresh for this link.
    pub nonce: [u8; 16],
}

impl std::fmt::Debug for EnrolSessionConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrolSessionConfig")
            .field("identity", &self.identity)
            .field("relay", &self.relay)
            .finish_non_exhaustive()
    }
}

/// What the session is told.
#[derive(Debug)]
pub enum EnrolInput {
    /// A frame came in.
    Frame(Vec<u8>),
    /// The time asked for by [`EnrolOutput::WakeAt`] has come.
    Tick,
}

/// What the session wants done, in order.
#[derive(Debug)]
pub enum EnrolOutput {
    /// Send a frame.
    Send(Vec<u8>),
    /// The relay has enrolled the device.
    Enrolled(Enrolment),
    /// Give [`EnrolInput::Tick`] at this time.
    WakeAt(Timestamp),
    /// The link is over.
    Closed(CloseReason),
}

/// The device's end of an enrolment. After each input, drain the outputs.
#[derive(Debug)]
pub struct EnrolSession {
    relay: DeviceId,
    request: Enrol,
    deadline: Timestamp,
    is_over: bool,
    outputs: VecDeque<EnrolOutput>,
}

impl EnrolSession {
    /// Begins: the first frame is ready to be taken.
    pub fn new(config: EnrolSessionConfig, now: Timestamp) -> Self {
        Self::speaking(Versions::SPOKEN, config, now)
    }

    /// The same, speaking other versions than this build.
    pub(super) fn speaking(versions: Versions, mut config: EnrolSessionConfig, now: Timestamp) -> Self {
        config.label.truncate(config.label.floor_char_boundary(LABEL_LEN_MAX));
        let request = handshake::enrol(versions, &config);
        let deadline = now.plus_millis(HANDSHAKE_MS_MAX);
        let outputs = VecDeque::from([
            EnrolOutput::Send(Message::Enrol(request.clone()).encode()),
            EnrolOutput::WakeAt(deadline),
        ]);
        Self { relay: config.relay, request, deadline, is_over: false, outputs }
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: EnrolInput, now: Timestamp) {
        if self.is_over {
            return;
        }
        match input {
            EnrolInput::Frame(frame) => self.frame(&frame),
            EnrolInput::Tick if now >= self.deadline => self.close(CloseCode::HandshakeTimeout),
            EnrolInput::Tick => self.outputs.push_back(EnrolOutput::WakeAt(self.deadline)),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<EnrolOutput> {
        self.outputs.pop_front()
    }

    fn frame(&mut self, frame: &[u8]) {
        match Message::decode(frame) {
            Ok(Message::Close(code)) => self.end(CloseReason::There(code)),
            Ok(Message::Enrolled(enrolled)) => {
                if !self.request.versions.contains(enrolled.version) {
                    return self.close(CloseCode::Version);
                }
                match handshake::check_enrolled(&self.request, self.relay, &enrolled) {
                    Ok(()) => {
                        self.outputs.push_back(EnrolOutput::Enrolled(enrolled.membership));
                        self.end(CloseReason::Here(CloseCode::Done));
                    }
                    Err(_) => self.close(CloseCode::Impersonation),
                }
            }
            Ok(_) => self.close(CloseCode::Unexpected),
            Err(error) => self.close(CloseCode::from(error)),
        }
    }

    fn close(&mut self, code: CloseCode) {
        self.outputs.push_back(EnrolOutput::Send(Message::Close(code).encode()));
        self.end(CloseReason::Here(code));
    }

    fn end(&mut self, reason: CloseReason) {
        self.is_over = true;
        self.outputs.push_back(EnrolOutput::Closed(reason));
    }
}
