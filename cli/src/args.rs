//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A segregation-of-duties gateway for Apache Kafka.
///
/// Exit codes: 0 done; 1 refused, or problems were found; 2 the command line or the configuration is wrong.
#[derive(Debug, Parser)]
#[command(name = "sluice", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run both planes in this process, linked over loopback.
    Up(ConfigFile),
    /// Run a gateway.
    Gateway(ConfigFile),
    /// Run a control plane.
    Control(ConfigFile),
    /// Look for ways around the gateway: do the brokers answer anybody else? Do the clocks agree?
    Doctor(ConfigFile),
    /// Run the development identity provider alone, on loopback. Its key is new at every start.
    DevProvider(DevProviderArgs),

    /// Put policy documents in force: all of them, or none.
    Apply(ApplyArgs),
    /// Say what `apply` would change or why it would be refused, and change nothing.
    Plan(PlanArgs),
    /// Show policy documents as they are stored.
    Get(GetArgs),
    /// Say whether a principal may, and which rule decides. Exit code 1 if it may not.
    Explain(ExplainArgs),
    /// Ask for a grant beforehand.
    Request(RequestArgs),
    /// List and decide approval requests.
    #[command(subcommand)]
    Approvals(ApprovalsVerb),
    /// List sessions and replay one.
    #[command(subcommand)]
    Sessions(SessionsVerb),
    /// Search evidence, list its logs and their keys, or verify a log.
    #[command(subcommand)]
    Evidence(EvidenceVerb),
    /// List gateways and the revision that each has in force.
    Gateways(ControlPlane),
    /// Get an access token by client credentials, and print it.
    Token(TokenArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The process's configuration.
    #[arg(long, short, env = "SLUICE_CONFIG", default_value = "sluice.yaml")]
    pub(crate) config: PathBuf,
}

/// How to reach the control plane, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControlPlane {
    /// The control plane's gRPC address. Without one: https if there are roots, else http, at 127.0.0.1:7443.
    #[arg(long, env = "SLUICE_CONTROL", value_name = "URL")]
    pub(crate) control: Option<String>,
    /// PEM file with the roots of its certificate; `sluice up` writes it to STATE_DIR/control/ca.pem.
    #[arg(long, env = "SLUICE_CONTROL_ROOTS", value_name = "FILE")]
    pub(crate) control_roots: Option<PathBuf>,
    /// The access token. Other processes can read command lines: prefer --token-file or the environment.
    #[arg(
        long,
        env = "SLUICE_TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file"
    )]
    pub(crate) token: Option<String>,
    /// File with the access token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// YAML files, folders of them, or `-` for standard input.
    #[arg(long = "file", short, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Remove stored documents that the files do not name.
    #[arg(long)]
    pub(crate) prune: bool,
    #[command(flatten)]
    pub(crate) control: ControlPlane,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Role, Binding, TopicClass, Mask, Conflict, ApprovalRule, Issuer or Cluster.
    pub(crate) kind: Option<String>,
    pub(crate) name: Option<String>,
    /// Only kinds and names.
    #[arg(long)]
    pub(crate) names: bool,
    #[command(flatten)]
    pub(crate) control: ControlPlane,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Such as User:svc-orders.
    pub(crate) principal: String,
    /// Such as Write.
    pub(crate) operation: String,
    /// topic, group, transactional-id or cluster.
    pub(crate) kind: String,
    /// The resource's name; the cluster has none.
    #[arg(default_value = "")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) control: ControlPlane,
}

#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// Who will use the grant: yourself, or a service that you own.
    #[arg(long)]
    pub(crate) principal: String,
    #[arg(long)]
    pub(crate) topic: String,
    #[arg(long, default_value = "Write")]
    pub(crate) operation: String,
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) control: ControlPlane,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsVerb {
    /// Newest first.
    List {
        /// Only those that wait for an answer.
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        control: ControlPlane,
    },
    /// Say yes. Never to what you asked for yourself.
    Approve {
        id: String,
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        control: ControlPlane,
    },
    /// Say no.
    Refuse {
        id: String,
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        control: ControlPlane,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsVerb {
    /// Newest first.
    List {
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[command(flatten)]
        control: ControlPlane,
    },
    /// What one session did and was told, in order.
    Replay {
        /// As `sessions list` shows it.
        id: String,
        /// The records as JSON lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        control: ControlPlane,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceVerb {
    /// Newest first.
    Search(SearchArgs),
    /// List the logs that the control plane holds: their keys, and how far they are held.
    Logs(LogsArgs),
    /// Verify a log, or a copy of one, offline or against what the control plane holds. Exit code 1 if anything contradicts a signature.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Such as User:svc-orders.
    #[arg(long, default_value = "")]
    pub(crate) principal: String,
    #[arg(long, default_value = "")]
    pub(crate) topic: String,
    /// Such as Denied.
    #[arg(long, default_value = "")]
    pub(crate) kind: String,
    #[arg(long, default_value = "")]
    pub(crate) session: String,
    /// UTC, such as 2026-01-31T10:00:00Z or 2026-01-31; or how long ago, such as 15m.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// As --from.
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Words that must all occur.
    #[arg(long, default_value = "")]
    pub(crate) text: String,
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
    /// The records as JSON lines.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) control: ControlPlane,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// One JSON object per log, with its newest checkpoint.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) control: ControlPlane,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Folders of logs: those with `segments`, `log` and `checkpoints.log`.
    #[arg(required = true)]
    pub(crate) dirs: Vec<PathBuf>,
    /// A verifier key, `name+id+base64`. May be repeated.
    #[arg(long = "key", value_name = "VKEY")]
    pub(crate) keys: Vec<String>,
    /// File with one verifier key per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Vec<PathBuf>,
    /// A checkpoint of the log that was kept elsewhere; the log must contain what it signed.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Ask the control plane for each log's key, and check that the log contains what the newest checkpoint held there signed.
    #[arg(long, conflicts_with = "against")]
    pub(crate) from_control: bool,
    /// Longest time between two checkpoints that needs no explanation.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) heartbeat_s_max: Option<u64>,
    #[command(flatten)]
    pub(crate) control: ControlPlane,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The issuer's URL; its discovery document says where tokens are had.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: String,
    #[arg(long)]
    pub(crate) client_id: String,
    #[arg(
        long,
        env = "SLUICE_CLIENT_SECRET",
        hide_env_values = true,
        conflicts_with = "client_secret_file"
    )]
    pub(crate) client_secret: Option<String>,
    #[arg(long, value_name = "FILE")]
    pub(crate) client_secret_file: Option<PathBuf>,
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// PEM file with further roots for the issuer's certificate.
    #[arg(long, value_name = "FILE")]
    pub(crate) roots: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DevProviderArgs {
    /// Loopback only.
    #[arg(long, default_value = "127.0.0.1:7081")]
    pub(crate) listen: SocketAddr,
    /// YAML: `clients: [{id, secret, claims: {..}, ttl_s}]`.
    #[arg(long, value_name = "FILE")]
    pub(crate) clients: PathBuf,
}
