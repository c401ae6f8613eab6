//! Policy as authors write it: a text that is accepted compiles to tables that load and answer as the slow twin does, and
//! its documents, put together again, compile to the same tables; one that is refused has problems that name their place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_policy::{
    Answer, Operation, PolicySet, Problem, ResourceRef, Revision, Source, Tables, compile,
    conflicts, explain, limits, parse,
};

const REVISION: Revision = Revision {
    incarnation: 1,
    number: 7,
};
const ROLES_COUNT_MAX: usize = 4;

fuzz_target!(|text: &[u8]| {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let set = match read(text) {
        Ok(set) => set,
        Err(problems) => {
            assert!((1..=limits::PROBLEMS_COUNT_MAX).contains(&problems.len()));
            // YAML has two characters that break lines.
            let lines_count = text.split(['\n', '\r']).count();
            for Problem {
                file,
                line,
                column,
                message,
            } in problems
            {
                assert!(file == "policy.yaml" && column > 0 && !message.is_empty());
                assert!((1..=lines_count + 1).contains(&line), "{line} {message}");
            }
            return;
        }
    };
    for violation in conflicts(&set) {
        let _ = violation.to_string();
    }
    let Ok(bytes) = compile(&set, REVISION) else {
        return;
    };
    let documents: Vec<&str> = set
        .documents()
        .map(|document| document.text.as_str())
        .collect();
    let again = read(&documents.join("---\n")).expect("its own documents");
    assert_eq!(compile(&again, REVISION).as_ref(), Ok(&bytes));

    let tables = Tables::load(bytes).expect("its own tables");
    assert_eq!(tables.revision(), REVISION);
    for role in set.roles().iter().take(ROLES_COUNT_MAX) {
        let id = tables.role(&role.name).expect("a role of the set");
        let rights = tables.rights(&[id]);
        for name in ["orders", "orders-1", "ledger", "__consumer_offsets", "a"] {
            let resources = [
                ResourceRef::Topic(name),
                ResourceRef::Group(name),
                ResourceRef::TransactionalId(name),
                ResourceRef::Cluster,
            ];
            for resource in resources {
                for operation in Operation::ALL {
                    let slow = explain(&set, &[&role.name], operation, resource);
                    let fast = tables.decide(&rights, 1, operation, resource);
                    let allowed = matches!(fast, sluice_policy::Decision::Allow(_));
                    assert_eq!(
                        allowed,
                        slow.answer == Answer::Allow,
                        "{operation} {resource}: {slow}"
                    );
                }
            }
        }
    }
});

fn read(text: &str) -> Result<PolicySet, Vec<Problem>> {
    parse(&[Source {
        file: "policy.yaml",
        text,
    }])
}
