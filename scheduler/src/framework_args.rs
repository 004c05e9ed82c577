//! The options of `run` and `serve` that say how the scheduler registers with the masters.

use std::path::PathBuf;

use clap::Args;
use scheduler::framework::Framework;
use scheduler::run::Rules;

use crate::{Failure, TlsArgs, usage};

/// Longest secret that is read.
const MAX_SECRET_BYTES: u64 = 64 << 10;

#[derive(Args)]
pub(crate) struct FrameworkArgs {
    /// The role offers are for
    #[arg(long, default_value = "*")]
    role: String,
    /// The user of tasks that name none
    #[arg(long, default_value = "root")]
    user: String,
    /// The principal to authenticate as; its secret is read from the file of --secret-file
    #[arg(long, requires = "secret_file")]
    principal: Option<String>,
    /// A file with the principal's secret
    #[arg(long, value_name = "FILE", requires = "principal")]
    secret_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
    /// How often in a row a task is launched again because another host still holds its volume
    #[arg(long, value_name = "N", default_value_t = Rules::default().volume_retries)]
    volume_retries: u32,
    /// How many volumes may be attached to an agent's host, for agents without an attribute
    /// `attach_limit`
    #[arg(long, value_name = "N")]
    attach_limit: Option<u32>,
}

impl FrameworkArgs {
    /// The framework of this name.
    pub(crate) fn framework(&self, name: &str, masters: String) -> Result<Framework, Failure> {
        Ok(Framework {
            name: name.to_owned(),
            masters,
            user: self.user.clone(),
            credential: self.credential()?,
            tls: self.tls.load()?,
            rules: Rules {
                role: self.role.clone(),
                volume_retries: self.volume_retries,
                attach_limit: self.attach_limit,
                ..Rules::default()
            },
        })
    }

    /// The principal with its secret.
    fn credential(&self) -> Result<Option<(String, String)>, Failure> {
        let (Some(principal), Some(file)) = (&self.principal, &self.secret_file) else {
            return Ok(None);
        };
        let secret = operator_files::read(file, MAX_SECRET_BYTES)
            .map_err(|error| usage(format!("cannot read the secret {error}")))?;
        let secret = secret.trim_end_matches(['\r', '\n']).to_owned();
        Ok(Some((principal.clone(), secret)))
    }
}
