//! The machine that the generator runs on, for whoever reads the numbers later.

use std::fs::read_to_string;
use std::thread::available_parallelism;

use serde_json::{Value, json};

/// What is not known is null.
pub(super) fn machine() -> Value {
    let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let line = |path: &str| Some(read_to_string(path).ok()?.trim().to_owned());
    json!({
        "cpu_model": field(&cpus, "model name"),
        "cpus": cpus_count(&cpus),
        // Fewer than those of the machine under taskset or in a container.
        "cpus_of_loadgen": available_parallelism().ok().map(usize::from),
        "memory_bytes": memory_bytes(&memory),
        "kernel": line("/proc/sys/kernel/osrelease"),
        "cpu_governor": line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    })
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

fn cpus_count(cpus: &str) -> Option<usize> {
    let count = cpus
        .lines()
        .filter(|line| line.split(':').next().map(str::trim) == Some("processor"))
        .count();
    (count > 0).then_some(count)
}

fn memory_bytes(memory: &str) -> Option<u64> {
    let kibibytes = field(memory, "MemTotal")?.strip_suffix("kB")?.trim();
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_model_and_number_of_cpus_as_linux_writes_them() {
        let cpus = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n";
        assert_eq!(field(cpus, "model name"), Some("AMD EPYC"));
        assert_eq!(cpus_count(cpus), Some(2));
        assert_eq!(
            memory_bytes("MemTotal:        2048 kB\n"),
            Some(2048 * 1024)
        );
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        assert_eq!(field("Features : fp asimd\n", "model name"), None);
        assert_eq!((cpus_count(""), memory_bytes("")), (None, None));
    }

    #[test]
    fn this_machine_has_a_kernel() {
        assert!(machine()["kernel"].is_string());
    }
}
