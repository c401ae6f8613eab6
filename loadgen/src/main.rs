//! The command `loadgen`. Exit codes: 0 all was answered, 1 something failed, 2 the arguments make no sense.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use sluice_loadgen::Error;
use sluice_loadgen::arguments::{Arguments, Command};
use sluice_loadgen::sink::serve_and_report;

fn main() -> ExitCode {
    allow_connections();
    let result = match Arguments::parse().command {
        Command::Run(arguments) => sluice_loadgen::run_and_report(&arguments),
        Command::Compare(arguments) => sluice_loadgen::compare_and_report(&arguments),
        Command::Report(arguments) => sluice_loadgen::write_report(&arguments),
        Command::Sink(arguments) => serve_and_report(&arguments),
        Command::CreateTopic(arguments) => sluice_loadgen::create_and_report(&arguments),
    };
    match result {
        Ok((report, sound)) => {
            print!("{report}");
            match sound {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("loadgen: {error}");
            match error {
                Error::OperatorArgument(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The soft limit of open files is often 1,024, a relic of select(2) that nothing here uses.
fn allow_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With what there is small runs go on all the same, and large ones say what failed.
    let _ = setrlimit(Resource::Nofile, limit);
}
