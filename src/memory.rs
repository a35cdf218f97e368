//! The memory that this process may use.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Returns the bytes of memory that the process may use: the machine's, or fewer where a container or the control group of
/// a service sets a limit; `u64::MAX` if the system does not report it.
pub fn usable_memory() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0);
    // a container may see its own group as the root of all groups, although the system reports another path
    let container = system.cgroup_limits();
    let groups = [container, limits_of_group(&mut system)].into_iter().flatten().map(|limits| limits.total_memory);
    groups.chain(machine).min().unwrap_or(u64::MAX)
}

/// Returns the limits of the process's control group and of the groups above it.
fn limits_of_group(system: &mut System) -> Option<sysinfo::CGroupLimits> {
    let own = sysinfo::get_current_pid().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, ProcessRefreshKind::nothing());
    system.process(own)?.cgroup_limits()
}

/// Returns `bytes` in megabytes, rounded up, for messages.
pub(crate) fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_some_memory() {
        assert!((1 << 27..u64::MAX).contains(&usable_memory()));
    }
}
