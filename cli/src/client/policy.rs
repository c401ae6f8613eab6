//! apply, plan, get, explain.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sluice_policy::{Answer, Operation, PolicySet, ResourceRef, Source};
use sluice_proto::v1;

use super::{connect, refused};
use crate::args::{ControlPlane, ExplainArgs, GetArgs, PlanArgs};
use crate::failure::Failure;
use crate::limits::APPLY_BYTES_MAX;
use crate::table::{clean, table};

pub(super) async fn apply(args: &PlanArgs, dry_run: bool) -> Result<(), Failure> {
    let documents = read_documents(&args.files)?;
    let request = v1::ApplyRequest {
        documents,
        prune: args.prune,
        dry_run,
    };
    let answer = connect(&args.control)
        .await?
        .apply(request)
        .await
        .map_err(refused)?
        .into_inner();
    if !answer.problems.is_empty() {
        return Err(Failure::refused(problems_text(&answer.problems)));
    }
    for change in &answer.changes {
        println!("{}", clean(change));
    }
    match (dry_run, answer.revision) {
        (true, _) => println!("plan: this would be accepted; nothing was changed"),
        (false, Some(revision)) => println!("in force as revision {}", revision.number),
        (false, None) => println!("accepted"),
    }
    Ok(())
}

fn problems_text(problems: &[v1::Problem]) -> String {
    let mut text = format!(
        "refused, {} to correct; nothing was changed",
        problems.len()
    );
    for problem in problems {
        let v1::Problem {
            file,
            line,
            column,
            message,
        } = problem;
        text.push_str(&format!(
            "\n{}:{line}:{column}: {}",
            clean(file),
            clean(message)
        ));
    }
    text
}

/// Files in the order given; a folder stands for its YAML files by name.
fn read_documents(paths: &[PathBuf]) -> Result<Vec<v1::Document>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(yaml_files(path)?);
        } else {
            files.push(path.clone());
        }
    }
    let mut documents = Vec::new();
    let mut bytes = 0_usize;
    for path in files {
        let mut text = String::new();
        let read = if path == Path::new("-") {
            std::io::stdin()
                .take(APPLY_BYTES_MAX as u64 + 1)
                .read_to_string(&mut text)
        } else {
            fs::File::open(&path).and_then(|file| {
                file.take(APPLY_BYTES_MAX as u64 + 1)
                    .read_to_string(&mut text)
            })
        };
        read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
        bytes = bytes.saturating_add(text.len());
        if bytes > APPLY_BYTES_MAX {
            return Err(Failure::usage(format!(
                "the files have more than {APPLY_BYTES_MAX} bytes; apply them in parts"
            )));
        }
        documents.push(v1::Document {
            file: path.display().to_string(),
            text,
        });
    }
    Ok(documents)
}

fn yaml_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::usage(format!("cannot list {}: {error}", dir.display()));
    let entries: Result<Vec<_>, _> = fs::read_dir(dir).map_err(failed)?.collect();
    let mut files: Vec<PathBuf> = entries
        .map_err(failed)?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
    });
    files.sort();
    if files.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds no .yaml file",
            dir.display()
        )));
    }
    Ok(files)
}

pub(super) async fn get(args: &GetArgs) -> Result<(), Failure> {
    let documents = fetch(&args.control, args.kind.as_deref(), args.name.as_deref()).await?;
    if documents.is_empty() {
        let what = [args.kind.as_deref(), args.name.as_deref()]
            .map(Option::unwrap_or_default)
            .join(" ");
        return Err(Failure::refused(format!(
            "there is no document {}; `sluice get --names` lists all",
            clean(what.trim())
        )));
    }
    if args.names {
        let rows: Vec<_> = documents
            .into_iter()
            .map(|document| [document.kind, document.name])
            .collect();
        print!("{}", table(["KIND", "NAME"], &rows));
    } else {
        let texts: Vec<String> = documents
            .into_iter()
            .map(|document| document.text)
            .collect();
        print!("{}", texts.join("---\n"));
    }
    Ok(())
}

async fn fetch(
    control: &ControlPlane,
    kind: Option<&str>,
    name: Option<&str>,
) -> Result<Vec<v1::StoredDocument>, Failure> {
    let request = v1::GetRequest {
        kind: kind.unwrap_or_default().into(),
        name: name.unwrap_or_default().into(),
    };
    Ok(connect(control)
        .await?
        .get(request)
        .await
        .map_err(refused)?
        .into_inner()
        .documents)
}

pub(super) async fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let (operation, resource) = question(&args.operation, &args.kind, &args.name)?;
    let documents = fetch(&args.control, None, None).await?;
    let set = policy_set(&documents)?;
    let (allowed, text) = explained(&set, &args.principal, operation, resource)?;
    println!("{}", clean(&text));
    if allowed {
        Ok(())
    } else {
        Err(Failure::refused("denied"))
    }
}

fn question<'a>(
    operation: &str,
    kind: &str,
    name: &'a str,
) -> Result<(Operation, ResourceRef<'a>), Failure> {
    let known = Operation::ALL
        .iter()
        .find(|known| known.name().eq_ignore_ascii_case(operation));
    let operation = *known.ok_or_else(|| {
        let all: Vec<_> = Operation::ALL
            .iter()
            .map(|operation| operation.name())
            .collect();
        Failure::usage(format!(
            "{operation} is no operation; there are {}",
            all.join(", ")
        ))
    })?;
    let kind = kind.to_ascii_lowercase();
    let resource = match kind.as_str() {
        "topic" => ResourceRef::Topic(name),
        "group" => ResourceRef::Group(name),
        "transactional-id" | "transactionalid" => ResourceRef::TransactionalId(name),
        "cluster" => return Ok((operation, ResourceRef::Cluster)),
        _ => {
            return Err(Failure::usage(format!(
                "{kind} is no kind of resource; there are topic, group, transactional-id, cluster"
            )));
        }
    };
    if name.is_empty() {
        return Err(Failure::usage(format!("which {kind}? add its name")));
    }
    Ok((operation, resource))
}

fn policy_set(documents: &[v1::StoredDocument]) -> Result<PolicySet, Failure> {
    let files: Vec<String> = documents
        .iter()
        .map(|document| format!("{}/{}", document.kind, document.name))
        .collect();
    let sources: Vec<_> = files
        .iter()
        .zip(documents)
        .map(|(file, document)| Source {
            file,
            text: &document.text,
        })
        .collect();
    sluice_policy::parse(&sources).map_err(|problems| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        Failure::refused(format!("the stored policy does not parse here; is this `sluice` older than the control plane? {first}"))
    })
}

/// Whether it is allowed, and the whole story.
fn explained(
    set: &PolicySet,
    principal: &str,
    operation: Operation,
    resource: ResourceRef<'_>,
) -> Result<(bool, String), Failure> {
    let name = principal.strip_prefix("User:").unwrap_or(principal);
    let bindings: Vec<_> = set
        .bindings()
        .iter()
        .filter(|binding| binding.principal == name)
        .collect();
    if bindings.is_empty() {
        return Err(Failure::refused(format!(
            "no Binding makes a principal {name}; `sluice get Binding` lists them"
        )));
    }
    let mut roles: Vec<&str> = bindings
        .iter()
        .flat_map(|binding| &binding.roles)
        .map(String::as_str)
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let explanation = sluice_policy::explain(set, &roles, operation, resource);
    let held = if roles.is_empty() {
        "no role of the data plane".to_owned()
    } else {
        format!("roles {}", roles.join(", "))
    };
    let text = format!("User:{name} ({held}) {operation} {resource}: {explanation}");
    Ok((explanation.answer == Answer::Allow, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "kind: Role\nmetadata: {name: orders-writer}\nspec: {permissions: [{operations: [Write], topics: [orders]}]}\n---\nkind: Binding\nmetadata: {name: svc-orders}\nspec: {match: {issuer: demo, claims: {sub: svc-orders}}, owner: alice, roles: [orders-writer]}\n";

    fn documents() -> Vec<v1::StoredDocument> {
        let texts = POLICY
            .split("---\n")
            .zip([("Role", "orders-writer"), ("Binding", "svc-orders")]);
        texts
            .map(|(text, (kind, name))| v1::StoredDocument {
                kind: kind.into(),
                name: name.into(),
                text: text.into(),
            })
            .collect()
    }

    #[test]
    fn explains_from_the_stored_documents_and_names_the_rule() {
        let set = policy_set(&documents()).unwrap();
        let (allowed, text) = explained(
            &set,
            "User:svc-orders",
            Operation::Write,
            ResourceRef::Topic("orders"),
        )
        .unwrap();
        assert!(allowed);
        assert!(text.contains("Role/orders-writer"), "{text}");
        let (allowed, text) = explained(
            &set,
            "svc-orders",
            Operation::Delete,
            ResourceRef::Topic("orders"),
        )
        .unwrap();
        assert!(!allowed);
        assert!(text.contains("not-permitted"), "{text}");
        assert!(
            explained(
                &set,
                "User:mallory",
                Operation::Read,
                ResourceRef::Topic("orders")
            )
            .is_err()
        );
    }

    #[test]
    fn questions_that_mean_nothing_list_what_would() {
        assert!(
            question("Destroy", "topic", "orders")
                .unwrap_err()
                .to_string()
                .contains("Delete")
        );
        assert!(
            question("Read", "queue", "orders")
                .unwrap_err()
                .to_string()
                .contains("transactional-id")
        );
        assert!(
            question("Read", "topic", "")
                .unwrap_err()
                .to_string()
                .contains("which topic")
        );
        assert_eq!(
            question("write", "Topic", "orders").unwrap(),
            (Operation::Write, ResourceRef::Topic("orders"))
        );
    }

    #[test]
    fn a_folder_stands_for_its_yaml_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yaml", "b"), ("a.yml", "a"), ("notes.txt", "x")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let documents = read_documents(&[dir.path().to_owned()]).unwrap();
        assert_eq!(
            documents
                .iter()
                .map(|document| document.text.as_str())
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(read_documents(&[dir.path().join("absent.yaml")]).is_err());
    }

    #[test]
    fn all_problems_are_shown_with_their_places() {
        let problem = |line, message: &str| v1::Problem {
            file: "p.yaml".into(),
            line,
            column: 3,
            message: message.into(),
        };
        let text = problems_text(&[problem(1, "one"), problem(9, "two\u{1b}[2J")]);
        assert!(
            text.contains("p.yaml:1:3: one") && text.contains("p.yaml:9:3: two\\u{1b}"),
            "{text}"
        );
    }
}
