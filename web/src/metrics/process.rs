//! What the node's process takes of its machine, from `/proc`.

use std::sync::atomic::AtomicU64;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub(super) fn register(registry: &mut Registry) {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = seconds(usage.user_time()) + seconds(usage.system_time());
        registry.register_with_unit(
            "process_cpu",
            "Processor time of the process, user and system",
            Unit::Seconds,
            ConstCounter::new(seconds),
        );
    }
    // Where there is no /proc, there are no such metrics.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        registry.register_with_unit(
            "process_resident_memory",
            "Resident memory of the process",
            Unit::Bytes,
            gauge(bytes),
        );
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        registry.register(
            "process_open_fds",
            "Files and sockets that the process has open",
            gauge(files.count() as u64),
        );
    }
}

fn gauge(value: u64) -> Gauge<u64, AtomicU64> {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "Name:\tjiggablend\nVmRSS:\t   2048 kB\nThreads:\t4\n";
        assert_eq!(resident_bytes(status), Some(2 << 20));
        assert_eq!(resident_bytes("Name:\tjiggablend\n"), None);
    }
}
