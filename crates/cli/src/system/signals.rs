//! Requests to stop the program: signals on Unix; Ctrl-C, Ctrl-Break and the end of the console or the session on
//! Windows.

use std::time::Duration;

use ualm::{Error, ErrorKind, Result};

/// A request to stop the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(windows), allow(dead_code, reason = "other systems set no time limit"))]
pub enum Stop {
    /// A request by a user or another program, without a time limit.
    Asked,
    /// The end of the console or the session: the system soon kills the program.
    Ending,
}

impl Stop {
    /// Returns the time left, or `None` if it is unlimited. Windows gives five seconds when a console is closed.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only the server drains"))]
    pub fn time_left(self) -> Option<Duration> {
        match self {
            Self::Asked => None,
            Self::Ending => Some(Duration::from_millis(4500)),
        }
    }
}

fn unhandled(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, "the signal handler cannot be installed").with_source(error)
}

/// Calls `handler`, on a thread of its own, at each request to stop.
///
/// # Errors
/// [`ErrorKind::Io`] if the signal handler cannot be installed.
#[cfg(unix)]
pub fn on_stop(handler: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(handler).map_err(unhandled)
}

/// Calls `handler`, on a thread of its own, at each request to stop.
///
/// Windows kills a program as soon as its handler of the console's end returns; Tokio's handler does not return.
///
/// # Errors
/// [`ErrorKind::Io`] if the signal handler cannot be installed.
#[cfg(windows)]
pub fn on_stop(mut handler: impl FnMut() + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(unhandled)?;
    let mut events = {
        let _entered = runtime.enter();
        Events::listen()?
    };
    let listen = move || {
        runtime.block_on(async {
            loop {
                events.next().await;
                handler();
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(unhandled)?;
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// [`ErrorKind::Io`] if the signal handler cannot be installed.
#[cfg(all(unix, feature = "server"))]
pub fn stop_signal() -> Result<impl Future<Output = Stop>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(unhandled)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unhandled)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => Stop::Asked,
            _ = interrupt.recv() => Stop::Asked,
        }
    })
}

/// Waits for Ctrl-C, Ctrl-Break, or the end of the console or the session.
///
/// # Errors
/// [`ErrorKind::Io`] if the signal handler cannot be installed.
#[cfg(all(windows, feature = "server"))]
pub fn stop_signal() -> Result<impl Future<Output = Stop>> {
    let mut events = Events::listen()?;
    Ok(async move { events.next().await })
}

/// The events of the console.
#[cfg(windows)]
struct Events {
    interrupt: tokio::signal::windows::CtrlC,
    halt: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    logoff: tokio::signal::windows::CtrlLogoff,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Events {
    fn listen() -> Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
        Ok(Self {
            interrupt: ctrl_c().map_err(unhandled)?,
            halt: ctrl_break().map_err(unhandled)?,
            close: ctrl_close().map_err(unhandled)?,
            logoff: ctrl_logoff().map_err(unhandled)?,
            shutdown: ctrl_shutdown().map_err(unhandled)?,
        })
    }

    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Asked,
            _ = self.halt.recv() => Stop::Asked,
            _ = self.close.recv() => Stop::Ending,
            _ = self.logoff.recv() => Stop::Ending,
            _ = self.shutdown.recv() => Stop::Ending,
        }
    }
}
