//! Generates the client stubs of the control link; the messages are those of `sluice-proto`.
fn main() -> std::io::Result<()> {
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".sluice.v1", "::sluice_proto::v1")
        .compile_protos(&["../proto/sluice/v1/link.proto"], &["../proto"])
}
