//! `sluice evidence verify`: checks logs offline with nothing but their keys, or against what the control plane holds.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sluice_evidence::files::{LogDirectory, verify_log};
use sluice_evidence::verify::{LogSource as _, Options, Report};
use sluice_evidence::{Checkpoint, Note, VerifierKey};
use sluice_proto::v1::EvidenceLogRow;

use crate::args::VerifyArgs;
use crate::client;
use crate::config::material::read_secret;
use crate::failure::Failure;
use crate::table::clean;
use crate::time::rfc3339_ms;

/// Verifies every folder, prints what was found.
///
/// # Errors
/// A refusal if any log is not what was signed.
pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    // Asked before the logs are read: a live log may grow meanwhile, and is never behind what was shipped of it.
    let held = if args.from_control {
        Some(crate::block_on_value(client::held_logs(&args.control))??)
    } else {
        None
    };
    verify_against(args, held.as_deref())
}

/// `held`: the logs of the control plane, if it is to be compared with.
fn verify_against(args: &VerifyArgs, held: Option<&[EvidenceLogRow]>) -> Result<(), Failure> {
    let given = keys(args)?;
    if given.is_empty() && held.is_none() {
        return Err(Failure::usage(
            "with which key? give --key VKEY or --key-file FILE, a key that was kept elsewhere than beside the log; or --from-control",
        ));
    }
    let against = args.against.as_deref().map(read_note).transpose()?;
    let mut broken_count = 0_usize;
    for dir in &args.dirs {
        if !dir.is_dir() {
            return Err(Failure::usage(format!("{} is no folder", dir.display())));
        }
        let mut keys = given.clone();
        let mut options = Options {
            against: against.clone(),
            heartbeat_s_max: args.heartbeat_s_max,
        };
        if let Some(held) = held {
            let log = held_log(dir, held)?;
            add_held_key(&mut keys, log)?;
            if log.checkpoint.is_empty() {
                let log = clean(&log.log);
                eprintln!(
                    "sluice: the control plane holds no checkpoint of {log} so far; it is verified by its key alone"
                );
            } else {
                options.against = Some(log.checkpoint.clone().into_bytes());
            }
        }
        let report = verify_log(dir, &keys, &options)
            .map_err(|error| Failure::refused(format!("{}: {error}", dir.display())))?;
        print!("{}", told(dir, &report));
        broken_count += usize::from(!report.is_intact());
    }
    match broken_count {
        0 => Ok(()),
        _ => Err(Failure::refused(
            "evidence does not verify; keep this copy, and compare it with the control plane's archive",
        )),
    }
}

/// What the control plane holds of the log that the folder's checkpoint names.
fn held_log<'h>(dir: &Path, held: &'h [EvidenceLogRow]) -> Result<&'h EvidenceLogRow, Failure> {
    let failed = |why: String| Failure::refused(format!("{}: {why}", dir.display()));
    let note = LogDirectory::new(dir)
        .checkpoint()
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| {
            failed("no checkpoint says which log this is; give --key and --against".to_owned())
        })?;
    // Only the name is taken from it here. Its signature is checked with the key that is found by that name.
    let checkpoint = Note::parse(&note)
        .and_then(|note| Checkpoint::parse(note.text()))
        .map_err(|error| failed(error.to_string()))?;
    held.iter()
        .find(|log| log.log == checkpoint.origin)
        .ok_or_else(|| {
            failed(format!(
                "the control plane holds no log {}; `sluice evidence logs` shows those that it holds",
                clean(&checkpoint.origin)
            ))
        })
}

/// A key that was given for the same log must be the same.
fn add_held_key(keys: &mut Vec<VerifierKey>, log: &EvidenceLogRow) -> Result<(), Failure> {
    let name = clean(&log.log);
    let held = VerifierKey::parse(&log.verifier_key)
        .map_err(|error| Failure::refused(format!("the control plane's key of {name}: {error}")))?;
    if held.name() != log.log {
        return Err(Failure::refused(format!(
            "the control plane's key of {name} is that of another log"
        )));
    }
    if keys.iter().any(|key| key.name() == log.log && *key != held) {
        return Err(Failure::refused(format!(
            "the control plane's key of {name} is not the one that was given: one of the two is false"
        )));
    }
    if !keys.contains(&held) {
        keys.push(held);
    }
    Ok(())
}

fn keys(args: &VerifyArgs) -> Result<Vec<VerifierKey>, Failure> {
    let mut texts = args.keys.clone();
    for file in &args.key_file {
        let lines = read_secret(file)?;
        texts.extend(
            lines
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        );
    }
    let parse = |text: &String| {
        VerifierKey::parse(text).map_err(|error| Failure::usage(format!("{text}: {error}")))
    };
    texts.iter().map(parse).collect()
}

fn read_note(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}

fn told(dir: &Path, report: &Report) -> String {
    let mut out = String::new();
    let word = if report.is_intact() {
        "INTACT"
    } else {
        "NOT INTACT"
    };
    let _ = writeln!(out, "{}: {word}", dir.display());
    if !report.origin.is_empty() {
        let _ = writeln!(out, "  log       {}", clean(&report.origin));
    }
    let _ = writeln!(
        out,
        "  size      {} leaves, {} of them readable records",
        report.size, report.records_count
    );
    if let Some(root) = &report.root {
        let _ = writeln!(out, "  root      {root}");
    }
    if let Some(time_unix_s) = report.time_unix_s {
        let _ = writeln!(
            out,
            "  signed    {}",
            rfc3339_ms(
                i64::try_from(time_unix_s)
                    .unwrap_or(0)
                    .saturating_mul(1_000)
            )
        );
    }
    for (what, findings, all) in [
        ("problem", &report.problems, report.problems_count),
        ("notice", &report.notices, report.notices_count),
    ] {
        for finding in findings {
            let _ = writeln!(out, "  {what:<8}  {}", clean(&finding.to_string()));
        }
        let unseen = all.saturating_sub(findings.len() as u64);
        if unseen > 0 {
            let _ = writeln!(out, "  {what:<8}  and {unseen} more");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sluice_evidence::files::LogWriter;
    use sluice_evidence::{Kind, RecordHead, RecordWriter, SessionId, SigningKey};

    use super::*;
    use crate::args::ControlPlane;
    use crate::failure::Exit;

    const ORIGIN: &str = "sluice.test/gateway-1/shard-0";

    /// A closed log of some records; returns its key as text.
    fn log(dir: &Path) -> String {
        let (text, _) = grow(dir, 1..=300);
        text
    }

    /// Appends a record for each number, and signs; returns the log's key and its checkpoint, as text.
    fn grow(dir: &Path, sequences: std::ops::RangeInclusive<u64>) -> (String, String) {
        let key = SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap();
        let text = key.verifier().to_string();
        let (mut writer, _) = LogWriter::open(dir, key).unwrap();
        for sequence in sequences {
            let head = RecordHead {
                kind: Kind::Denied,
                time_unix_ns: 1_700_000_000_000_000_000 + sequence,
                session: SessionId(1),
                sequence,
                principal: "User:mallory",
                ..RecordHead::default()
            };
            let mut leaf = Vec::new();
            RecordWriter::begin(&mut leaf, &head).unwrap().finish();
            writer.append(&leaf).unwrap();
        }
        let signed = writer.sign_checkpoint(1_700_000_100).unwrap();
        (text, String::from_utf8(signed.note).unwrap())
    }

    fn held(key: &str, checkpoint: &str) -> EvidenceLogRow {
        EvidenceLogRow {
            log: ORIGIN.to_owned(),
            gateway: "gateway-1".to_owned(),
            verifier_key: key.to_owned(),
            held_leaves: 300,
            checkpoint: checkpoint.to_owned(),
        }
    }

    fn args(dir: &Path, keys: &[&str]) -> VerifyArgs {
        VerifyArgs {
            dirs: vec![dir.to_owned()],
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            key_file: Vec::new(),
            against: None,
            from_control: false,
            heartbeat_s_max: None,
            control: ControlPlane {
                control: None,
                control_roots: None,
                token: None,
                token_file: None,
            },
        }
    }

    fn exit(args: &VerifyArgs) -> Result<(), Exit> {
        verify(args).map_err(|failure| failure.exit)
    }

    fn first_bundle(dir: &Path) -> PathBuf {
        let mut found: Vec<PathBuf> = walk(&dir.join("log").join("tile").join("entries"));
        found.sort();
        found.into_iter().next().unwrap()
    }

    fn walk(dir: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        paths
            .flat_map(|path| {
                if path.is_dir() {
                    walk(&path)
                } else {
                    vec![path]
                }
            })
            .collect()
    }

    #[test]
    fn an_intact_log_ends_with_0_and_a_flipped_byte_with_1() {
        let dir = tempfile::tempdir().unwrap();
        let key = log(dir.path());
        assert_eq!(exit(&args(dir.path(), &[&key])), Ok(()));
        let path = first_bundle(dir.path());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(exit(&args(dir.path(), &[&key])), Err(Exit::Refused));
    }

    #[test]
    fn the_report_names_log_size_and_root() {
        let dir = tempfile::tempdir().unwrap();
        let key = VerifierKey::parse(&log(dir.path())).unwrap();
        let report = verify_log(dir.path(), &[key], &Options::default()).unwrap();
        let text = told(dir.path(), &report);
        assert!(
            text.contains("INTACT") && text.contains(ORIGIN) && text.contains("300 leaves"),
            "{text}"
        );
        assert!(
            text.contains("root      ") && !text.contains("problem"),
            "{text}"
        );
    }

    #[test]
    fn another_logs_key_does_not_verify() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path());
        let other = SigningKey::from_seed(ORIGIN, &[8; 32])
            .unwrap()
            .verifier()
            .to_string();
        assert_eq!(exit(&args(dir.path(), &[&other])), Err(Exit::Refused));
    }

    #[test]
    fn without_a_key_or_folder_nothing_is_called_intact() {
        let dir = tempfile::tempdir().unwrap();
        let key = log(dir.path());
        assert_eq!(exit(&args(dir.path(), &[])), Err(Exit::Usage));
        assert_eq!(exit(&args(dir.path(), &["nonsense"])), Err(Exit::Usage));
        assert_eq!(
            exit(&args(&dir.path().join("absent"), &[&key])),
            Err(Exit::Usage)
        );
        assert_eq!(
            exit(&args(&dir.path().join("segments"), &[&key])),
            Err(Exit::Refused)
        );
    }

    #[test]
    fn a_log_cut_back_to_an_older_checkpoint_is_found_by_the_one_the_control_plane_holds() {
        let (whole, cut, regrown) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let (key, newest) = grow(whole.path(), 1..=300);
        grow(cut.path(), 1..=200);
        grow(regrown.path(), 1..=200);
        grow(regrown.path(), 900..=1_100);
        let rows = [held(&key, &newest)];
        let against = |dir: &Path| {
            let outcome = verify_against(&args(dir, &[]), Some(&rows));
            outcome.map_err(|failure| failure.exit)
        };
        assert_eq!(against(whole.path()), Ok(()));
        for dir in [cut.path(), regrown.path()] {
            assert_eq!(exit(&args(dir, &[&key])), Ok(()), "its own word is intact");
            assert_eq!(against(dir), Err(Exit::Refused), "{}", dir.display());
        }
        // It was whole when it was shipped, and has grown since.
        grow(whole.path(), 301..=400);
        assert_eq!(against(whole.path()), Ok(()));
    }

    #[test]
    fn a_key_of_the_control_plane_that_differs_or_is_missing_verifies_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (key, newest) = grow(dir.path(), 1..=3);
        let told = |keys: &[&str], rows: &[EvidenceLogRow]| {
            verify_against(&args(dir.path(), keys), Some(rows))
                .map_err(|failure| (failure.exit, failure.to_string()))
        };
        let other = SigningKey::from_seed(ORIGIN, &[8; 32]).unwrap();
        let other = other.verifier().to_string();
        let mut foreign = held(&key, &newest);
        foreign.log.push('1');
        assert_eq!(told(&[&key], &[held(&key, &newest)]), Ok(()));
        assert_eq!(told(&[], &[held(&key, "")]), Ok(()));
        for (keys, row, words) in [
            (
                vec![key.as_str()],
                held(&other, &newest),
                "one of the two is false",
            ),
            (vec![], held(&other, &newest), "does not verify"),
            (vec![], held("", &newest), "key of"),
            (vec![], foreign, "holds no log"),
        ] {
            let (exit, text) = told(&keys, &[row]).unwrap_err();
            assert_eq!(exit, Exit::Refused);
            assert!(text.contains(words), "{text}");
        }
        let empty = tempfile::tempdir().unwrap();
        let refused = verify_against(&args(empty.path(), &[]), Some(&[held(&key, &newest)]));
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("which log this is")
        );
    }

    #[test]
    fn keys_come_from_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let key = log(dir.path());
        let file = dir.path().join("keys");
        fs::write(&file, format!("# the gateway's\n{key}\n\n")).unwrap();
        let mut args = args(dir.path(), &[]);
        args.key_file.push(file);
        assert_eq!(exit(&args), Ok(()));
    }
}
