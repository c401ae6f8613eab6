//! Generates the service stubs; the messages come from `sluice-proto`.
fn main() -> std::io::Result<()> {
    let proto = "../proto";
    println!("cargo:rerun-if-changed={proto}/sluice");
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .extern_path(".sluice.v1", "::sluice_proto::v1")
        .compile_protos(
            &[
                format!("{proto}/sluice/v1/link.proto"),
                format!("{proto}/sluice/v1/admin.proto"),
            ],
            &[proto.to_string()],
        )
}
