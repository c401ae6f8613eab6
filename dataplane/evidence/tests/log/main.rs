//! Logs in real directories: what is written, what survives, what is found, and who else can read it.

mod formats;
mod recovery;
mod sample;
mod tampering;
