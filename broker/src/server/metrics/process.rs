//! Process: what the whole process takes, by the names that all of Prometheus' clients have for it. From `/proc`, so on
//! Linux only.

use std::fs;

use super::page::{Page, number};

/// Ticks of a second in `/proc/self/stat`: Linux shows 100 to programs on every machine, whatever it counts itself.
const TICKS: f64 = 100.0;

/// Adds what can be found out.
pub(super) fn show(page: &mut Page) {
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)) {
        page.counter(("process_cpu_seconds_total", "Processor time of the process"), &[], seconds);
    }
    if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().and_then(|status| resident(&status)) {
        page.gauge(("process_resident_memory_bytes", "Resident memory of the process"), &[], number(bytes));
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is read.
        let open = (files.count() as u64).saturating_sub(1);
        page.gauge(("process_open_fds", "Open files and sockets of the process"), &[], number(open));
    }
}

/// Time in user and kernel. The name of the process stands in brackets before and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(") ")?;
    let mut ticks = behind.split(' ').skip(11).map(|field| field.parse::<u64>().ok());
    Some(number(ticks.next()?? + ticks.next()??) / TICKS)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, resident};

    #[test]
    fn what_linux_says_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 300 0 0 0 250 125 0 0 20 0 2 0 99 1000 55 184";
        assert_eq!(cpu_seconds(stat), Some(3.75));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        assert_eq!(resident("Name:\ta\nVmRSS:\t    1234 kB\n"), Some(1_263_616));
        assert_eq!(resident("Name:\ta\n"), None);
    }
}
