//! The command line of a report, and where results go.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::Error;

/// Where the result of a run or a comparison goes.
#[derive(Debug, Default, Clone, Args)]
pub struct Output {
    /// The result as JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// Write the result as JSON to this file as well, for `loadgen report`.
    #[arg(long, value_name = "FILE")]
    pub json_file: Option<PathBuf>,
}

/// `loadgen report`.
#[derive(Debug, Args)]
pub struct Report {
    /// What `loadgen run` and `loadgen compare` wrote with --json or --json-file, or an earlier report.json.
    #[arg(required = true, value_name = "JSON")]
    pub results: Vec<PathBuf>,
    /// The directory for report.html, results.csv, seconds.csv, report.json and a .hgrm file per target. It is created if
    /// it is not there; files of these names are replaced.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl Output {
    /// Fails before the first byte is sent, not after the last, if the file cannot be written.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Some(path) = &self.json_file else {
            return Ok(());
        };
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map(drop).map_err(|source| unwritable(path, source))
    }

    /// Writes the file if there is one; gives what belongs on standard output.
    pub(super) fn put(
        &self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<String, Error> {
        if !self.json && self.json_file.is_none() {
            return Ok(text());
        }
        let json = format!("{:#}\n", json());
        if let Some(path) = &self.json_file {
            write_file(path, &json)?;
        }
        Ok(match self.json {
            true => json,
            false => text(),
        })
    }
}

pub(super) fn write_file(path: &Path, content: &str) -> Result<(), Error> {
    fs::write(path, content).map_err(|source| unwritable(path, source))
}

pub(super) fn unwritable(path: &Path, source: std::io::Error) -> Error {
    Error::OperatorFileUnwritable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_takes_the_json_and_leaves_the_text_on_standard_output() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.json");
        let mut output = Output {
            json: false,
            json_file: Some(path.clone()),
        };
        output.check().unwrap();
        let put = |output: &Output| output.put(|| json!({"plan": "p"}), || "text".to_owned());
        assert_eq!(put(&output).unwrap(), "text");
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(written, "{\n  \"plan\": \"p\"\n}\n");
        output.json = true;
        assert_eq!(put(&output).unwrap(), written);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_before_the_run() {
        let output = Output {
            json: false,
            json_file: Some("/nowhere/run.json".into()),
        };
        let error = output.check().unwrap_err().to_string();
        assert!(error.contains("/nowhere/run.json"), "{error}");
    }
}
