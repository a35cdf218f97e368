//! Captions by the model, and takes ranked by them.

use std::ffi::c_char;

use ualm::{Expected, Ranked};

use super::argument::{StringOut, list, text};
use super::boundary::{Result, entry, ualm_status, value};
use super::cancel::{cancel_of, ualm_cancel};
use super::handle::{Handle, Out, free, share};
use super::model::ualm_model;
use super::names::modality;
use super::view::{Text, View, ualm_samples, waveform};

/// Describes sound by the model: returns a caption, or a transcript for the `kind` UALM_MODALITY_SPEECH. `cancel` may
/// be NULL. Free `words` with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_caption(
    model: *const ualm_model,
    samples: *const ualm_samples,
    kind: i32,
    cancel: *const ualm_cancel,
    words: *mut *mut c_char,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model) = unsafe { (StringOut::new(words, "words")?, share(model)?) };
        // SAFETY: per the header's contract.
        let (sound, cancel) = unsafe { (waveform(samples)?, cancel_of(cancel)?) };
        out.fill(&model.0.with_cancel(&cancel).caption(&sound, modality(kind)?)?)
    })
}

/// A take with its rank. The library fills it; later versions may add fields at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_ranked {
    /// Its size in this version of the library.
    pub struct_size: usize,
    /// Index of the take, from 0.
    pub take: usize,
    /// The model's caption of the take, NUL-terminated.
    pub caption: *const c_char,
    /// The score: covered x (1 + ordered) / 2.
    pub total: f64,
    /// Share of the expected words in the caption; a word that is expected twice must occur twice.
    pub covered: f64,
    /// Share of the pairs of covered words in the expected order; 1 when there are no pairs.
    pub ordered: f64,
    /// The model's confidence in the caption: the geometric mean of the probabilities of its tokens; 0 without a caption.
    pub confidence: f64,
}

/// A ranking of takes, best first.
pub struct ualm_ranking(Vec<RankedView>);

impl From<Vec<Ranked>> for ualm_ranking {
    fn from(ranked: Vec<Ranked>) -> Self {
        Self(ranked.into_iter().map(RankedView::from).collect())
    }
}

impl Handle for ualm_ranking {
    const NAME: &'static str = "ranking";
}

pub(super) struct RankedView {
    view: View<ualm_ranked>,
    _caption: Text,
}

impl RankedView {
    pub(super) fn view(&self) -> &ualm_ranked {
        self.view.get()
    }
}

impl From<Ranked> for RankedView {
    fn from(ranked: Ranked) -> Self {
        let caption = Text::new(&ranked.caption);
        let view = ualm_ranked {
            struct_size: size_of::<ualm_ranked>(),
            take: ranked.take,
            caption: caption.as_ptr(),
            total: ranked.score.total,
            covered: ranked.score.covered,
            ordered: ranked.score.ordered,
            confidence: ranked.confidence,
        };
        Self { view: View::new(view), _caption: caption }
    }
}

/// Ranks `take_count` takes by how well the model's own caption of each matches `wanted`: the prompt of the takes, or
/// the text to speak for the `kind` UALM_MODALITY_SPEECH. Of equal scores the one with the larger confidence comes
/// first, then the earlier one; a take that the model cannot listen to has an empty caption. `cancel` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_rank(
    model: *const ualm_model,
    takes: *const ualm_samples,
    take_count: usize,
    kind: i32,
    wanted: *const c_char,
    cancel: *const ualm_cancel,
    ranking: *mut *mut ualm_ranking,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model, wanted) = unsafe { (Out::new(ranking)?, share(model)?, text(wanted, "wanted")?) };
        // SAFETY: per the header's contract.
        let (takes, cancel) = unsafe { (list(takes, take_count, "takes")?, cancel_of(cancel)?) };
        // SAFETY: per the header's contract.
        let takes = takes.iter().map(|take| unsafe { waveform(take) }).collect::<Result<Vec<_>>>()?;
        let kind = modality(kind)?;
        let expected = Expected::asked(wanted, kind);
        let ranked = model.0.with_cancel(&cancel).rank(&takes, kind, &expected)?;
        out.fill(ranked.into());
        Ok(())
    })
}

/// Returns the take of rank `index`, 0 for the best; NULL after the last one. It is valid until the ranking is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_ranking_get(ranking: *const ualm_ranking, index: usize) -> *const ualm_ranked {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The ranking outlives the share that is taken here.
        let ranking = unsafe { share(ranking) }?;
        Ok(ranking.0.get(index).map_or(std::ptr::null(), |ranked| std::ptr::from_ref(ranked.view())))
    })
}

/// Frees a ranking. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_ranking_free(ranking: *mut ualm_ranking) {
    // SAFETY: per the header's contract.
    unsafe { free(ranking) }
}
