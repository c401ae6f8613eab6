//! What the program says on standard error while it loads a target.

#[allow(dead_code)]
mod program;
#[allow(dead_code)]
mod short;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use program::{command, output, sink};

const RUN: &str = "run --topic orders --rate 200 --target";

/// A program under load, ended with the test whatever comes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What one part of a progress line counts.
#[derive(Debug, PartialEq)]
struct Counts {
    answered: u64,
    megabytes: f64,
}

#[test]
fn a_run_says_every_second_how_far_it_is_while_the_load_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(1);
    let address = sink.addresses()[0].to_string();
    for (mode, parts) in [
        ("--mode produce", &[""][..]),
        ("--mode ping", &[""]),
        ("--mode storm --connections 8", &[""]),
        (
            "--mode mixed --readers-from start",
            &["producers", "readers"],
        ),
    ] {
        // It goes on for long after the lines that are waited for.
        let line = format!("{RUN} {address} --seconds 60 {mode}");
        let mut command = command(&line, &[], directory.path());
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running(command.spawn().unwrap());
        let mut answered: Vec<u64> = Vec::new();
        let said = BufReader::new(running.0.stderr.take().unwrap());
        for line in said.lines().map(Result::unwrap) {
            let (target, rest) = line.split_once(": ").unwrap();
            assert_eq!(target, address, "{line}");
            let second = format!("{} s", answered.len() + 1);
            let rest = rest.strip_prefix(second.as_str());
            let rest = rest.unwrap_or_else(|| panic!("{line}: no {second}"));
            let counts = counts(rest, parts);
            assert!(answered.last() <= Some(&counts[0].answered), "{line}");
            answered.push(counts[0].answered);
            // Three lines, and load between the first and the last of them, however slow the machine is.
            if answered.len() >= 3 && answered.first() < answered.last() {
                assert!(counts.iter().all(|part| part.answered > 0), "{line}");
                let moves_records = !mode.contains("ping") && !mode.contains("storm");
                assert_eq!(counts[0].megabytes > 0.0, moves_records, "{line}");
                break;
            }
        }
        assert!(answered.len() >= 3, "{mode}: {answered:?}");
        assert!(running.0.try_wait().unwrap().is_none(), "{mode}");
        let mut out = String::new();
        drop(running.0.kill());
        let mut stdout = running.0.stdout.take().unwrap();
        stdout.read_to_string(&mut out).unwrap();
        assert_eq!(out, "", "the result comes at the end");
    }
}

#[test]
fn a_comparison_says_which_target_is_loaded_in_which_round() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(1);
    let address = sink.addresses()[0];
    let line = format!(
        "compare --topic orders --mode slow-consumer --read-rate 100000 --fetch-bytes 10000 --rate 200 --seconds 3 --rounds 1 \
         --warm-up-seconds 3 --target direct={address} --target gateway={address}"
    );
    let output = output(&line, &[], directory.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    for begin in [
        "direct: warm-up, 1 s, ",
        "gateway: warm-up, 1 s, ",
        "direct: round 1 of 1, alone, 1 s, ",
        "direct: round 1 of 1, 1 s; normal: ",
        "gateway: round 1 of 1, alone, 1 s, ",
        "gateway: round 1 of 1, 1 s; normal: ",
    ] {
        let line = said.lines().find(|line| line.starts_with(begin));
        let line = line.unwrap_or_else(|| panic!("no {begin} in {said}"));
        let rest = &line[line.find(" s").unwrap() + 2..];
        match begin.ends_with("normal: ") {
            true => counts(rest, &["normal", "slow"]),
            false => counts(rest, &[""]),
        };
    }
    // The result is elsewhere.
    assert!(!said.contains('|'), "{said}");
}

#[test]
fn quiet_programs_say_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(1);
    let line = format!(
        "{RUN} {} --seconds 2 --mode produce --quiet",
        sink.addresses()[0]
    );
    let output = output(&line, &[], directory.path());
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

/// Reads what follows the second: for each part its name, if it has one, and four counts.
fn counts(rest: &str, parts: &[&str]) -> Vec<Counts> {
    let parts = parts.iter().map(|name| match *name {
        "" => (", ".to_owned(), ""),
        name => (format!("; {name}: "), "; "),
    });
    let mut rest = rest;
    let counts = parts.map(|(lead, end)| {
        let part = rest.strip_prefix(&*lead);
        let part = part.unwrap_or_else(|| panic!("{rest}: no {lead}"));
        let part = match end {
            "" => part,
            end => part.split(end).next().unwrap(),
        };
        rest = &rest[lead.len() + part.len()..];
        let counts: Vec<f64> = part
            .split(", ")
            .zip([" answered", " failed", " outstanding", " MB of records"])
            .map(|(count, unit)| {
                let number = count.strip_suffix(unit);
                let number = number.unwrap_or_else(|| panic!("{count}: not in{unit}"));
                number.parse().unwrap()
            })
            .collect();
        let [answered, failed, _, megabytes] = counts[..] else {
            panic!("{part}: {counts:?}")
        };
        assert_eq!(failed, 0.0, "{part}");
        Counts {
            answered: answered as u64,
            megabytes,
        }
    });
    let counts = counts.collect();
    assert_eq!(rest, "");
    counts
}
