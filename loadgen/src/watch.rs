//! CPU time and memory of a process on this machine, from `/proc` (proc_pid_stat(5), proc_pid_status(5)).

use std::fs::{read_dir, read_to_string};
use std::time::Duration;

use rustix::param::clock_ticks_per_second;

use crate::Error;

/// A process that reports speak of by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub name: String,
    pid: u32,
    /// Beginnings of the names of the threads whose CPU time counts; all threads if there are none.
    threads: Vec<String>,
    /// A process id may be given to another process; the start time tells them apart.
    started_ticks: u64,
}

impl Watched {
    pub(crate) fn new(name: &str, pid: u32, threads: &[&str]) -> Result<Self, Error> {
        let mut watched = Self {
            name: name.to_owned(),
            pid,
            threads: threads.iter().map(ToString::to_string).collect(),
            started_ticks: 0,
        };
        watched.started_ticks = watched.times()?.started_ticks;
        Ok(watched)
    }

    /// User and system time so far, of all its threads or of those that are named.
    pub(crate) fn cpu(&self) -> Result<Duration, Error> {
        let times = self.times()?;
        if times.started_ticks != self.started_ticks {
            return Err(self.unreadable("it was replaced by another process"));
        }
        let ticks = match self.threads.is_empty() {
            true => times.cpu_ticks,
            false => self.threads_ticks()?,
        };
        Ok(Duration::from_secs_f64(
            ticks as f64 / clock_ticks_per_second() as f64,
        ))
    }

    /// Of the threads that live now: one that has ended counts no more.
    fn threads_ticks(&self) -> Result<u64, Error> {
        let tasks = read_dir(format!("/proc/{}/task", self.pid))
            .map_err(|error| self.unreadable(&error.to_string()))?;
        let mut found = false;
        let mut ticks = 0;
        for task in tasks.flatten() {
            // One that ends between the two reads is left out like one that ended before.
            let Ok(stat) = read_to_string(task.path().join("stat")) else {
                continue;
            };
            let name = thread_name(&stat).unwrap_or_default();
            if self.threads.iter().any(|begin| name.starts_with(begin)) {
                found = true;
                ticks += parse_stat(&stat).map_or(0, |times| times.cpu_ticks);
            }
        }
        match found {
            true => Ok(ticks),
            false => Err(self.unreadable("it has no thread with such a name")),
        }
    }

    /// The most memory it ever had resident, in bytes (`VmHWM`).
    pub(crate) fn resident_bytes_max(&self) -> Result<u64, Error> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes =
            line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kibibytes
            .map(|kibibytes| kibibytes * 1024)
            .ok_or_else(|| self.unreadable("no VmHWM in its status"))
    }

    fn times(&self) -> Result<Times, Error> {
        parse_stat(&self.read("stat")?).ok_or_else(|| self.unreadable("its stat is not understood"))
    }

    fn read(&self, file: &str) -> Result<String, Error> {
        read_to_string(format!("/proc/{}/{file}", self.pid))
            .map_err(|error| self.unreadable(&error.to_string()))
    }

    fn unreadable(&self, fault: &str) -> Error {
        Error::OperatorProcessUnreadable {
            name: self.name.clone(),
            pid: self.pid,
            fault: fault.to_owned(),
        }
    }
}

struct Times {
    cpu_ticks: u64,
    started_ticks: u64,
}

/// Fields 14 (utime), 15 (stime) and 22 (starttime). The name in field 2 may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<Times> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Times {
        cpu_ticks: number(14)?.checked_add(number(15)?)?,
        started_ticks: number(22)?,
    })
}

/// Field 2, without its parentheses.
fn thread_name(stat: &str) -> Option<&str> {
    let (before, _) = stat.rsplit_once(')')?;
    Some(before.split_once('(')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_behind_a_name_with_parentheses() {
        let stat = "7 ((a) b (c)) S 1 7 7 0 -1 4194560 10 0 0 0 30 12 0 0 20 0 1 0 9876 1 2 3";
        let times = parse_stat(stat).unwrap();
        assert_eq!((times.cpu_ticks, times.started_ticks), (42, 9876));
        assert_eq!(thread_name(stat), Some("(a) b (c)"));
    }

    #[test]
    fn watches_its_own_process() {
        let own = Watched::new("own", std::process::id(), &[]).unwrap();
        assert!(own.resident_bytes_max().unwrap() > 100_000);
        let mut sum = 0_u64;
        while own.cpu().unwrap() < Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error_that_names_it() {
        let error = Watched::new("ghost", u32::MAX, &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ghost") && error.contains("--watch"),
            "{error}"
        );
    }

    #[test]
    fn counts_the_threads_that_are_named_and_no_others() {
        let (done, finish) = std::sync::mpsc::channel::<()>();
        let busy = std::thread::Builder::new().name("busy-1".into());
        let busy = busy
            .spawn(move || {
                let began = std::time::Instant::now();
                let own = Watched::new("busy", std::process::id(), &["busy"]).unwrap();
                while own.cpu().unwrap() < Duration::from_millis(20) {
                    std::hint::black_box(began.elapsed());
                }
                finish.recv().ok();
            })
            .unwrap();
        let watch = |threads: &[&str]| Watched::new("own", std::process::id(), threads).unwrap();
        while watch(&["busy"]).cpu().unwrap_or_default() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        assert!(watch(&["no such", "busy"]).cpu().is_ok());
        let error = watch(&["no such"]).cpu().unwrap_err().to_string();
        assert!(error.contains("no thread with such a name"), "{error}");
        drop(done);
        busy.join().unwrap();
    }
}
