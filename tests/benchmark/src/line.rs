//! The peers' line protocol: one JSON command a line on standard input, one answer a line on standard
//! output with the same `seq`; `{"ready":true}` comes first.

use std::io::{BufRead, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json, json};

/// What a command answers, or why it failed.
pub type Answer = Result<Json, String>;

/// A command: its name and its arguments.
#[derive(Debug, Clone)]
pub struct Command {
    seq: Json,
    /// What to do.
    pub name: String,
    arguments: Json,
}

impl Command {
    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, String> {
        let arguments: Json = serde_json::from_str(line).map_err(|error| format!("a command: {error}"))?;
        let name = arguments["cmd"].as_str().ok_or("a command without a name")?.to_owned();
        Ok(Self { seq: arguments["seq"].clone(), name, arguments })
    }

    /// An argument; null if it was not given.
    pub fn argument(&self, name: &str) -> &Json {
        &self.arguments[name]
    }

    /// A text argument.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        self.argument(name).as_str().ok_or_else(|| format!("{}: {name} is missing", self.name))
    }

    /// A whole number as an argument.
    pub fn number(&self, name: &str) -> Result<u32, String> {
        let number = self.argument(name).as_u64().and_then(|number| number.try_into().ok());
        number.ok_or_else(|| format!("{}: {name} is missing", self.name))
    }

    /// Writes the answer.
    pub fn answer(&self, answer: Answer) {
        let mut line = match answer {
            Ok(Json::Object(fields)) => fields,
            Ok(_) => Map::new(),
            Err(error) => Map::from_iter([("error".to_owned(), error.into())]),
        };
        line.insert("ok".to_owned(), (!line.contains_key("error")).into());
        line.insert("seq".to_owned(), self.seq.clone());
        line.insert("t".to_owned(), now_ms().into());
        say(&Json::Object(line));
    }
}

/// Says that commands are awaited.
pub fn say_ready() {
    say(&json!({ "ready": true }));
}

/// Whoever drives this process may be gone: then there is nobody to answer.
fn say(line: &Json) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// Every command until standard input ends. `perform` gives no answer to what it answers by itself.
pub fn serve(mut perform: impl FnMut(&Command) -> Option<Answer>) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match Command::parse(&line) {
            Ok(command) => {
                if let Some(answer) = perform(&command) {
                    command.answer(answer);
                }
            }
            Err(error) => say(&json!({ "ok": false, "error": error })),
        }
    }
}

/// Milliseconds since the epoch, with a fraction.
pub fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

/// Asks again, with a pause that costs no more than the asking, until the answer is yes.
pub fn wait_until<E>(least: Duration, mut ask: impl FnMut() -> Result<bool, E>) -> Result<(), E> {
    loop {
        let asked = std::time::Instant::now();
        if ask()? {
            return Ok(());
        }
        std::thread::sleep(least.max(3 * asked.elapsed()));
    }
}
