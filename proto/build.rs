//! Generates the messages; each plane generates the service stubs that it needs for itself.
fn main() -> std::io::Result<()> {
    prost_build::Config::new()
        .bytes(["."])
        .compile_protos(&["sluice/v1/link.proto", "sluice/v1/admin.proto"], &["."])
}
