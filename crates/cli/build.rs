//! Embeds a manifest in the program for Windows, which enables long paths, and UTF-8 in C functions.

use embed_manifest::manifest::{ActiveCodePage, Setting};
use embed_manifest::{embed_manifest, new_manifest};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_WINDOWS").is_some() {
        let manifest = new_manifest("ualm").active_code_page(ActiveCodePage::Utf8).long_path_aware(Setting::Enabled);
        embed_manifest(manifest).expect("the manifest could not be embedded");
    }
}
