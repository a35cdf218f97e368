//! The arguments of `ualm pull`.

use super::ModelName;

#[derive(clap::Args)]
pub struct Pull {
    /// Package on the hub: OWNER/NAME, or OWNER/NAME@REVISION with a branch, a tag or a commit
    pub name: ModelName,
}
