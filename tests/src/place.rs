//! Where things are: the checkout, what `scripts/test` installed, and a folder for each thing that runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name that no other test uses: `orders` becomes `orders-4711-3`. Tests share brokers, so topics and groups need it.
pub fn unique(name: &str) -> String {
    format!(
        "{name}-{}-{}",
        process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A new, empty folder for something that runs, kept until the next run of the tests so that its logs can be read.
pub fn run_dir(name: &str) -> PathBuf {
    static SWEEP: Once = Once::new();
    let runs = root().join(".run").join("tests");
    SWEEP.call_once(|| sweep(&runs));
    let dir = runs.join(process::id().to_string()).join(unique(name));
    fs::create_dir_all(&dir)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
    dir
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the checkout")
}

/// Something that `scripts/test` installs.
pub(crate) fn installed(path: &str) -> PathBuf {
    let found = root().join(path);
    assert!(
        found.exists(),
        "{} is not there: run scripts/test once, it installs it",
        found.display()
    );
    found
}

/// Removes what test processes left that no longer run.
fn sweep(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    for entry in entries.flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            // Another test process may be sweeping too; whoever is second has nothing to do.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
