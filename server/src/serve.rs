//! Listening: accepts connections within bounds, serves them, and ends them when asked.
//!
//! The loop is our own because `axum::serve` sets no timers: a client that sends its request a byte
//! an hour would hold its connection for ever.

mod stall;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use barid_core::clock::system_clock;
use barid_core::id::to_hex;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::accounts::Accounts;
use crate::app::{App, router};
use crate::attachments::{Attachments, Limits, OpenIndexError, keeper};
use crate::auth::PeerAddress;
use crate::config::Config;
use crate::data_dir::{DataDir, ServeLock, Serving};
use crate::enrolment::Enrolments;
use crate::keys::{self, KeyError};
use crate::live::Live;
use crate::log::quarantine::QuarantineLimits;
use crate::log::sqlite::{SqliteLog, SqliteLogOptions};
use crate::log::{Log as _, LogError, LogState};
use crate::materialiser;
use crate::relay::{self, Links};
use crate::relay_db::{OpenRelayDbError, RelayDb};
use crate::reports::Reports;
use crate::shutdown::Shutdown;
use crate::tls::{self, TlsError};
use crate::view::Views;
use stall::Stalling;

/// The relay cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `barid init` was not run here.
    #[error("there is no relay in {0}: make one with `barid init --data {0}`")]
    NotInitialised(String),
    /// Another process serves the same directory, or it cannot be locked.
    #[error("another relay runs in this data directory, or it cannot be locked")]
    InUse(#[source] io::Error),
    /// The relay's key cannot be read.
    #[error("reading the relay's key")]
    Key(#[from] KeyError),
    /// The log cannot be opened.
    #[error("opening the log")]
    Log(#[from] LogError),
    /// The thread that writes the log is gone: nothing could be taken any more.
    #[error("the thread that writes the log has ended; see the traces before this")]
    LogEnded,
    /// What is known of the attachments cannot be opened.
    #[error(transparent)]
    Attachments(#[from] OpenIndexError),
    /// The relay's own database cannot be opened.
    #[error("opening the accounts")]
    RelayDb(#[from] OpenRelayDbError),
    /// TLS cannot be used, or is missing where it is needed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("listening on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A relay that has its address and is about to serve.
pub struct Server {
    app: App,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    worker: Option<PathBuf>,
    _lock: ServeLock,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("app", &self.app).finish_non_exhaustive()
    }
}

/// The place of a connection among those allowed. A handler that takes the connection over, as
/// a WebSocket's does, keeps it from the request's extensions for as long as the link lives.
#[derive(Debug, Clone)]
pub struct ConnectionPlace {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Server {
    /// Opens the data directory and takes the address.
    pub async fn bind(config: Config, is_demo: bool) -> Result<Self, ServeError> {
        let data = DataDir::new(&config.data);
        if !data.is_initialised() {
            return Err(ServeError::NotInitialised(config.data.display().to_string()));
        }
        let lock = data.lock_for_serving().map_err(ServeError::InUse)?;
        let served = tls::load(&config)?;
        let identity = Arc::new(keys::load(&data.relay_key())?);
        let clock = system_clock();
        let log = SqliteLog::open(
            &data.log_db(),
            SqliteLogOptions {
                group_max: config.log_group_max,
                queue_max: config.log_queue_max,
                quarantine: QuarantineLimits {
                    batches_max: config.quarantine_batches_max,
                    len_max: config.quarantine_mebibytes_max.saturating_mul(1024 * 1024),
                },
                clock: clock.clone(),
            },
        )?;
        let relay_db = RelayDb::open(&data.relay_db())?;
        let attachments = Attachments::open(&data, Limits::of(&config), clock.clone())?;
        let bind_error = |source| ServeError::Bind { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let serving = Serving {
            device_url: config.device_url(address),
            certificate_pin: served.as_ref().map(|served| to_hex(&served.pin)),
        };
        lock.say(&serving).map_err(ServeError::InUse)?;
        let accounts =
            Accounts::new(relay_db.clone(), clock.clone(), config.session_idle(), config.login_attempts_max);
        let app = App {
            accounts,
            enrolments: Enrolments::new(relay_db.clone(), data.clone(), clock.clone()),
            reports: Reports::new(relay_db.clone(), clock.clone()),
            views: Views::new(data.clone()),
            live: Live::new(clock()),
            attachments,
            certificate_pin: served.as_ref().map(|served| served.pin),
            config: Arc::new(config),
            shutdown: Shutdown::default(),
            data,
            clock,
            identity,
            links: Links::default(),
            log,
            relay_db,
            address,
            is_demo,
        };
        let tls = served.map(|served| TlsAcceptor::from(served.config));
        Ok(Self { app, listener, tls, worker: None, _lock: lock })
    }

    /// Keeps the views up to date with this program, which is `barid` itself, in a process of its own.
    pub fn with_worker(self, program: impl Into<PathBuf>) -> Self {
        Self { worker: Some(program.into()), ..self }
    }

    /// Where the relay listens: the real port, also if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// The address for people, such as `http://127.0.0.1:7600`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.app.address)
    }

    /// What the handlers see, for whoever starts more beside them.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Serves until `stop` ends, then lets connections finish within the configured time. Ends by itself,
    /// with an error, if the log can be written no more: whoever started it can start it again.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        let Self { app, listener, tls, worker, _lock } = self;
        let mut log_state = app.log.state();
        let mut served = Ok(());
        let config = Arc::clone(&app.config);
        let shutdown = app.shutdown.clone();
        tokio::spawn(relay::tell_links(app.log.state(), app.links.clone()));
        let keeping = tokio::spawn(keeper::keep(
            app.attachments.clone(),
            app.views.clone(),
            app.log.state(),
            shutdown.clone(),
        ));
        let materialising = worker.map(|program| materialiser::start(&app, program));
        let routes = router(app.clone());
        let places_max = config.connections_max.clamp(1, 1_000_000);
        let places = Arc::new(Semaphore::new(places_max));
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        tracing::info!(address = %app.address, "serving");
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                () = log_has_ended(&mut log_state) => {
                    tracing::error!("the thread that writes the log has ended");
                    served = Err(ServeError::LogEnded);
                    break;
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, peer, place)) = accepted else { continue };
            let connection = Connection {
                routes: routes.clone(),
                tls: tls.clone(),
                header_max: Duration::from_secs(config.header_seconds_max),
                stall_max: Duration::from_secs(config.stall_seconds_max),
                shutdown: shutdown.clone(),
                peer,
                place,
            };
            connections.spawn(connection.run(stream));
        }
        drop(listener);
        tracing::info!(connections = connections.len(), "stopping");
        shutdown.begin();
        app.live.close();
        let everybody = u32::try_from(places_max).unwrap_or(u32::MAX);
        let drained = async {
            while connections.join_next().await.is_some() {}
            // Links have left their connections; they give back their places when they end.
            let _ = places.acquire_many(everybody).await;
        };
        let drain_max = Duration::from_secs(config.drain_seconds_max);
        if tokio::time::timeout(drain_max, drained).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections did not end in time");
            connections.shutdown().await;
        }
        // Whatever was queued is committed, and the write-ahead log is folded in.
        if tokio::time::timeout(drain_max, app.log.close()).await.is_err() {
            tracing::warn!("the log was not closed in time");
        }
        if keeping.await.is_err() {
            tracing::error!("the attachments were not kept to the end");
        }
        if let Some(materialising) = materialising {
            materialising.join().await;
        }
        tracing::info!("stopped");
        served
    }
}

/// Waits until nobody writes the log any more.
async fn log_has_ended(state: &mut watch::Receiver<Arc<LogState>>) {
    while state.changed().await.is_ok() {}
}

/// Binds, serves until `stop` ends, and returns. For those who need not know the address before.
pub async fn serve(config: Config, stop: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
    Server::bind(config, false).await?.run(stop).await
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, ConnectionPlace)> {
    // The place first: connections beyond the bound wait in the system's queue.
    let permit = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, ConnectionPlace { _permit: Arc::new(permit) })),
        Err(error) => {
            // Often: too many open files. Trying again at once would only spin.
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

struct Connection {
    routes: Router,
    tls: Option<TlsAcceptor>,
    header_max: Duration,
    stall_max: Duration,
    shutdown: Shutdown,
    peer: SocketAddr,
    place: ConnectionPlace,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Frames are small and people wait for them.
        let _ = stream.set_nodelay(true);
        let stream = Stalling::new(stream, self.stall_max);
        match self.tls.clone() {
            None => self.serve(stream).await,
            Some(tls) => match tokio::time::timeout(self.header_max, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                Err(_) => tracing::debug!("no TLS in time"),
            },
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { routes, header_max, shutdown, peer, place, .. } = self;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(PeerAddress(peer));
            request.extensions_mut().insert(place.clone());
            routes.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_max)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = &mut connection => result,
            () = shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
