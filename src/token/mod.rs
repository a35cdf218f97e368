//! Token ids: the space of ids, positions of a sequence, and the layouts of segments in it.

mod interval;
mod layout;
mod tokens;
mod vocabulary;

pub use interval::Interval;
pub(crate) use interval::column_of;
pub(crate) use layout::End;
pub use layout::{Ends, Layout, LayoutConfig, Pattern, Run};
pub use tokens::{Codes, TokenId, Tokens};
pub use vocabulary::{TextIds, Vocabulary};
