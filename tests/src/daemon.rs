//! A child process that ends with the test, and says why when it ends before.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::place;

const POLL: Duration = Duration::from_millis(25);
const TAIL_LINES: usize = 40;

/// Asks `answer` until it has one.
///
/// # Panics
/// When `within` is over, with `what` in the message.
#[track_caller]
pub fn wait_for<T>(what: &str, within: Duration, mut answer: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = answer() {
            return found;
        }
        assert!(Instant::now() < end, "still no {what} after {within:?}");
        thread::sleep(POLL);
    }
}

/// A running command in a process group of its own, its output in a log file. Dropping it kills the group; if this
/// process dies without dropping it, `scripts/lib/leash` does.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Child,
    /// Open as long as this process lives.
    _leash: ChildStdin,
}

impl Daemon {
    /// Starts `program`. `configure` may add arguments and environment to the command that it is given.
    pub fn start(
        name: &str,
        program: impl AsRef<OsStr>,
        log: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let mut command = Command::new(place::root().join("scripts/lib/leash"));
        command.arg(program);
        configure(&mut command);
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a file can be shared"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let leash = child.stdin.take().expect("standard input was asked for");
        Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child,
            _leash: leash,
        }
    }

    /// Waits until `ready` says so.
    ///
    /// # Panics
    /// When the process ends before, or `within` is over; with the end of its log.
    #[track_caller]
    pub fn wait_until_ready(&mut self, within: Duration, mut ready: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + within;
        while !ready(self) {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                panic!(
                    "{} ended ({status}) before it was ready; the end of {}:\n{}",
                    self.name,
                    self.log.display(),
                    self.log_tail()
                );
            }
            assert!(
                Instant::now() < end,
                "{} is not ready after {within:?}; the end of {}:\n{}",
                self.name,
                self.log.display(),
                self.log_tail()
            );
            thread::sleep(POLL);
        }
    }

    /// Everything that it wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines that it wrote.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Sends a signal by its name: `STOP` and `CONT` to pause, `HUP` to reload.
    pub fn signal(&self, signal: &str) {
        // The shell's own `kill`: the only way to a process group without unsafe code or a package more.
        let sent = Command::new("bash")
            .args([
                "-c",
                "kill -s \"$0\" -- \"-$1\"",
                signal,
                &self.child.id().to_string(),
            ])
            .stderr(Stdio::null())
            .status()
            .expect("bash runs");
        // A group that is gone already needs no signal.
        let _ = sent;
    }

    /// Asks it to leave (SIGTERM) and waits; its exit code, or none when `within` was over and it had to be killed.
    pub fn stop(&mut self, within: Duration) -> Option<i32> {
        self.signal("TERM");
        let end = Instant::now() + within;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return status.code();
            }
            thread::sleep(POLL);
        }
        self.kill();
        None
    }

    /// Ends it at once (SIGKILL), as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.is_running() {
            self.signal("KILL");
            self.child.wait().expect("a child can be waited for");
        }
    }

    /// Its process id, which is its group's too.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be asked")
            .is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Daemon, PathBuf) {
        let log = place::run_dir("daemon").join("log");
        let daemon = Daemon::start("a shell", "bash", &log, |command| {
            command.args(["-c", script]);
        });
        (daemon, log)
    }

    fn process_runs(pid: &str) -> bool {
        // A killed process that its parent has not fetched yet does not run.
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn announced_pid(daemon: &Daemon) -> String {
        wait_for("process id in the log", Duration::from_secs(10), || {
            let log = daemon.log();
            log.ends_with('\n').then(|| log.trim().to_owned())
        })
    }

    #[test]
    fn ends_with_its_group_when_dropped() {
        let (daemon, _) = shell("sleep 600 & echo $!; wait");
        let grandchild = announced_pid(&daemon);
        assert!(process_runs(&grandchild));
        drop(daemon);
        wait_for("end of the grandchild", Duration::from_secs(10), || {
            (!process_runs(&grandchild)).then_some(())
        });
    }

    #[test]
    fn ends_when_whoever_started_it_is_gone() {
        let (mut daemon, _) = shell("echo $$; exec sleep 600");
        let pid = announced_pid(&daemon);
        // What the kernel does when a process dies: its end of the pipe closes.
        let (mut other, _) = shell("exec sleep 600");
        std::mem::swap(&mut daemon._leash, &mut other._leash);
        drop(other);
        wait_for("end of the child", Duration::from_secs(10), || {
            (!process_runs(&pid)).then_some(())
        });
        wait_for("end of the leash", Duration::from_secs(10), || {
            (!daemon.is_running()).then_some(())
        });
    }

    #[test]
    fn passes_a_request_to_stop_on_and_reports_the_exit_code() {
        let (mut daemon, _) =
            shell("trap 'exit 3' TERM; echo $$; while :; do read -rt 0.05 _ <> <(:); done");
        announced_pid(&daemon);
        assert_eq!(daemon.stop(Duration::from_secs(10)), Some(3));
    }

    #[test]
    #[should_panic(expected = "cannot find the map")]
    fn shows_the_log_of_a_process_that_ended_before_it_was_ready() {
        let (mut daemon, _) = shell("echo cannot find the map; exit 1");
        daemon.wait_until_ready(Duration::from_secs(10), |_| false);
    }
}
