//! What the crate promises, through its public face.

mod documents;
mod hostile;
mod masks;
mod oracle;
mod random;
mod scale;
mod segregation;
mod story;

use sluice_policy::{Decision, PolicySet, Revision, Source, Tables, compile, validate};

const REVISION: Revision = Revision {
    incarnation: 7,
    number: 42,
};

fn set(text: &str) -> PolicySet {
    match validate(&[Source {
        file: "policy.yaml",
        text,
    }]) {
        Ok(set) => set,
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}\n{text}", lines.join("\n"));
        }
    }
}

fn problems(text: &str) -> Vec<String> {
    match validate(&[Source {
        file: "policy.yaml",
        text,
    }]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn tables(set: &PolicySet) -> Tables {
    Tables::load(compile(set, REVISION).expect("compiles")).expect("loads")
}

fn code(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow(_) => "allow",
        Decision::Deny(reason) => reason.code(),
    }
}
