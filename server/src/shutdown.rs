//! The word to stop, heard by every connection, link and stream.

use std::sync::Arc;

use tokio::sync::watch;

/// Clones hear and give the same word.
#[derive(Debug, Clone)]
pub struct Shutdown {
    begun: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { begun: Arc::new(watch::Sender::new(false)) }
    }
}

impl Shutdown {
    /// Gives the word. It is never taken back.
    pub fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Whether it was given.
    pub fn is_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Waits for it.
    pub async fn wait(&self) {
        let mut begun = self.begun.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = begun.wait_for(|begun| *begun).await;
    }
}

/// Waits for the operator: Ctrl-C, or the signal by which a service is stopped.
pub async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            result = tokio::signal::ctrl_c() => result,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
