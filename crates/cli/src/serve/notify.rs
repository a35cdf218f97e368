//! Notifications to the service manager, such as systemd with `Type=notify`.

/// Notifies that the server accepts requests.
pub fn ready() {
    notify(State::Ready);
}

/// Notifies that the server is draining.
pub fn stopping() {
    notify(State::Stopping);
}

enum State {
    Ready,
    Stopping,
}

/// Sends `state` to the socket in `NOTIFY_SOCKET`, if set.
#[cfg(target_os = "linux")]
fn notify(state: State) {
    use sd_notify::NotifyState;
    let state = match state {
        State::Ready => NotifyState::Ready,
        State::Stopping => NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager (NOTIFY_SOCKET) could not be notified");
    }
}

/// Does nothing: only Linux has such service managers.
#[cfg(not(target_os = "linux"))]
fn notify(_: State) {}
