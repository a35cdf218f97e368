//! The arguments of `ualm models`.

use clap::Subcommand;

use super::ModelName;

#[derive(clap::Args)]
pub struct Models {
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
}

#[derive(Subcommand)]
pub enum ModelsCommand {
    /// Remove a package from the cache, and all files that no other revision of it uses
    Remove(RemoveModel),
}

#[derive(clap::Args)]
pub struct RemoveModel {
    /// Package: OWNER/NAME for all of its revisions, OWNER/NAME@REVISION for one
    pub name: ModelName,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}
