//! `sluice.yaml` as a whole: which sections there are, and how they fit together.

use std::fs;
use std::path::{Path, PathBuf};

use super::control;
use super::fields::{self, Fields, Mistake, Mistakes};
use super::provider;
use super::sections;
use super::{Config, ControlSection, GatewaySection, Planes};
use crate::failure::Failure;

/// Reads the file; paths in it are relative to its folder.
///
/// # Errors
/// A usage failure that lists every mistake as `file:line: …`.
pub(crate) fn load(path: &Path, planes: Planes) -> Result<Config, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "cannot read {}: {error}; name it with --config",
            path.display()
        ))
    })?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    read(&text, planes, &base).map_err(|mistakes| Failure::usage(mistakes_text(path, &mistakes)))
}

pub(crate) fn mistakes_text(path: &Path, mistakes: &[Mistake]) -> String {
    let lines = mistakes
        .iter()
        .map(|mistake| format!("{}:{}: {}", path.display(), mistake.line, mistake.message));
    lines.collect::<Vec<_>>().join("\n")
}

/// Reads a configuration for a process that runs `planes`.
///
/// # Errors
/// Every mistake, by line.
pub(crate) fn read(text: &str, planes: Planes, base: &Path) -> Result<Config, Vec<Mistake>> {
    let root = fields::load(text).map_err(|mistake| vec![mistake])?;
    let mut mistakes = Mistakes::default();
    let mut top = Fields::of("the configuration", &root, &mut mistakes);
    let mut reader = Reader {
        planes,
        base,
        mistakes: &mut mistakes,
    };
    let config = reader.config(&mut top);
    top.finish(&mut mistakes);
    let mistakes = mistakes.into_sorted();
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => Err(mistakes),
    }
}

/// What the sections need while they are read.
pub(super) struct Reader<'r> {
    pub(super) planes: Planes,
    pub(super) base: &'r Path,
    pub(super) mistakes: &'r mut Mistakes,
}

impl Reader<'_> {
    /// `None` only if there are mistakes.
    fn config(&mut self, top: &mut Fields<'_, '_>) -> Option<Config> {
        let name = self.name(top);
        let state_dir = top
            .require_text("state_dir", self.mistakes)
            .map(|path| self.path(&path));
        let provider_node = top.take("development_provider");
        let development_provider =
            provider_node.and_then(|node| provider::read_provider(node, self));
        if let Some(node) = provider_node
            && self.planes != Planes::Both
        {
            let message = "the development provider runs only inside `sluice up`; configure a real issuer and remove this";
            self.mistakes.add(fields::line_of(node), message);
        }
        let mut issuers = Vec::new();
        for node in top.items("issuers", self.mistakes) {
            issuers.extend(sections::issuer(node, self));
        }
        let mut names: Vec<&str> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
        names.extend(
            development_provider
                .iter()
                .map(|provider| provider.name.as_str()),
        );
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            self.mistakes.add(
                top.line(),
                format!(
                    "two issuers are called {}; bindings could not tell them apart",
                    twice[0]
                ),
            );
        }
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        if names.is_empty() && provider_node.is_none() {
            self.mistakes.add(
                top.line(),
                "there is no issuer, so nobody could log in; add one under `issuers`",
            );
        }
        let gateway = self.gateway(top);
        let control = self.control(top, &names, name.as_deref());
        Some(Config {
            name: name?,
            state_dir: state_dir?,
            issuers,
            gateway: gateway?,
            control: control?,
            development_provider,
        })
    }

    fn name(&mut self, top: &mut Fields<'_, '_>) -> Option<String> {
        let node = top.require("name", self.mistakes)?;
        let name = fields::text("`name`", node, self.mistakes)?;
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            let message = "`name` is a DNS name in small letters, such as gateway-1: the gateway's certificate carries it";
            self.mistakes.add(fields::line_of(node), message);
        }
        Some(name)
    }

    /// Outer `None`: mistakes. Inner `None`: this process has no gateway.
    #[allow(clippy::option_option)]
    fn gateway(&mut self, top: &mut Fields<'_, '_>) -> Option<Option<GatewaySection>> {
        let wanted = self.planes != Planes::Control;
        let listen = section(top, "listen", wanted, self);
        let brokers = section(top, "brokers", wanted, self);
        let listen = listen.and_then(|node| sections::listen(node, self));
        let brokers = brokers.and_then(|node| sections::brokers(node, self));
        let shards = top
            .take("shards")
            .map(|node| sections::shards(node, self))
            .unwrap_or_default();
        let connections_bytes_max = sections::connections_memory(top, self);
        let metrics = top
            .take("metrics")
            .and_then(|node| sections::metrics(node, self));
        let link_node = top.take("link");
        let link = link_node.and_then(|node| sections::link(node, self));
        if let Some(node) = link_node
            && self.planes == Planes::Both
        {
            let message =
                "`sluice up` links its two planes itself; remove `link`, or run `sluice gateway`";
            self.mistakes.add(fields::line_of(node), message);
        }
        if !wanted {
            return Some(None);
        }
        let (shard_cpus, hot_us) = shards;
        Some(Some(GatewaySection {
            listen: listen?,
            brokers: brokers?,
            shard_cpus,
            hot_us,
            connections_bytes_max,
            metrics,
            link,
        }))
    }

    #[allow(clippy::option_option)]
    fn control(
        &mut self,
        top: &mut Fields<'_, '_>,
        issuers: &[String],
        name: Option<&str>,
    ) -> Option<Option<ControlSection>> {
        let node = section(top, "control", self.planes == Planes::Control, self);
        let read = match node {
            Some(node) => control::read(node, issuers, name, self)?,
            None => control::absent(name),
        };
        Some((self.planes != Planes::Gateway).then_some(read))
    }

    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }
}

fn section<'n, 'a>(
    top: &mut Fields<'n, 'a>,
    key: &'static str,
    required: bool,
    reader: &mut Reader<'_>,
) -> Option<&'n fields::Node<'a>> {
    if required {
        top.require(key, reader.mistakes)
    } else {
        top.take(key)
    }
}
