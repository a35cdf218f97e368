//! Word to the manager of services, such as systemd, in whose name the server runs: what `Type=notify` waits for.

/// Tells that requests are taken.
pub fn ready() {
    tell(State::Ready);
}

/// Tells that no more requests are taken, and that replies come to their end.
pub fn stopping() {
    tell(State::Stopping);
}

enum State {
    Ready,
    Stopping,
}

/// Tells it to the socket that `NOTIFY_SOCKET` names, if there is one.
#[cfg(target_os = "linux")]
fn tell(state: State) {
    use sd_notify::NotifyState;
    let state = match state {
        State::Ready => NotifyState::Ready,
        State::Stopping => NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the manager of services (NOTIFY_SOCKET) is not told");
    }
}

/// Tells nobody: such a manager is there on Linux alone.
#[cfg(not(target_os = "linux"))]
fn tell(_: State) {}
