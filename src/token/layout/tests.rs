//! Properties of layouts of every pattern, and the rules that each pattern adds.

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::token::TextIds;

/// Returns a layout of `books` books of `codes` codes, the ends 2 (turn) and 3 (segment), in a vocabulary as wide as the pattern
/// needs; its head's columns are the books, then the ends.
fn layout(pattern: Pattern, books: usize, codes: u32) -> Layout {
    layout_with(pattern, books, codes, |_| {})
}

fn layout_with(pattern: Pattern, books: usize, codes: u32, change: impl FnOnce(&mut LayoutConfig)) -> Layout {
    let (config, vocabulary) = config(pattern, books, codes, change);
    let ends = [Interval::of(2), Interval::of(3)];
    let head: Vec<_> = if config.strict {
        [&config.books[..], &ends].concat()
    } else {
        vec![Interval { start: 0, end: vocabulary.size as u32 }]
    };
    Layout::new(&config, &vocabulary, &head).unwrap()
}

fn config(
    pattern: Pattern,
    books: usize,
    codes: u32,
    change: impl FnOnce(&mut LayoutConfig),
) -> (LayoutConfig, Vocabulary) {
    let len = if pattern == Pattern::Delayed { codes + 1 } else { codes };
    let intervals =
        (0..books as u32).map(|book| Interval { start: 30 + book * len, end: 30 + (book + 1) * len }).collect();
    let mut config = LayoutConfig::new(pattern, intervals, Ends { turn: vec![2], segment: vec![3] });
    change(&mut config);
    let width = if pattern == Pattern::Delayed { books } else { 1 };
    let text = TextIds { ids: Interval { start: 16, end: 30 }, zero_is_pad: false };
    let vocabulary = Vocabulary::new(30 + books * len as usize, width, (width > 1).then_some(0), text);
    vocabulary.validate().unwrap();
    (config, vocabulary)
}

fn ids(tokens: &Tokens) -> Vec<Vec<TokenId>> {
    tokens.iter().map(<[_]>::to_vec).collect()
}

fn may_hold(slot: &Slot, id: TokenId) -> bool {
    slot.runs.iter().any(|run| (run.first..run.first + run.columns.len() as u32).contains(&id))
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![Just(Pattern::Interleaved), Just(Pattern::Delayed)]
}

proptest! {
    /// Laid-out codes have the announced length, pass the layout's own check, could have been drawn, and are
    /// read back as it was, whole and in any part.
    #[test]
    fn codes_come_back_from_what_was_laid_out(
        pattern in pattern(), books in 1usize..9, frames in 0usize..20, seed in any::<u32>(), ends in any::<bool>(), cut in 0usize..20,
    ) {
        let layout = layout(pattern, books, 64);
        let codes = Codes::from_shape_fn((books, frames), |(b, f)| seed.wrapping_mul(31).wrapping_add((b * 97 + f * 7) as u32) % 64);
        let mut tokens = layout.lay(&codes).unwrap();
        prop_assert_eq!(tokens.len(), layout.steps_for(frames));
        for (step, position) in tokens.iter().enumerate() {
            prop_assert_eq!(layout.check(step, position), Ok(()));
            for slot in layout.slots(step, true) {
                prop_assert!(may_hold(slot, position[slot.column]), "{:?} at {step}: {:?}", slot, position);
            }
        }
        let sounding = layout.sounding_len(&tokens);
        prop_assert!(layout.content_len(&tokens) == tokens.len() && sounding <= tokens.len());
        if ends {
            tokens.push_single(2, 0);
        }
        prop_assert_eq!(layout.frames(&tokens), frames);
        prop_assert_eq!(layout.codes(&tokens, 0..frames).unwrap(), codes.clone());
        prop_assert_eq!(layout.holes(&tokens), 0);
        let cut = cut.min(frames);
        prop_assert_eq!(layout.codes(&tokens, cut..frames).unwrap(), codes.slice(ndarray::s![.., cut..]).to_owned());
    }

    /// Whatever is drawn from the slots passes the check, or ends the segment.
    #[test]
    fn what_the_slots_offer_passes_the_check(pattern in pattern(), books in 1usize..5, step in 0usize..20, pick in any::<prop::sample::Index>(), may_end in any::<bool>()) {
        let layout = layout(pattern, books, 8);
        let mut position = vec![0; layout.width.get()];
        for slot in layout.slots(step, may_end) {
            let offered: Vec<_> = slot.runs.iter().flat_map(|run| run.first..run.first + run.columns.len() as u32).collect();
            prop_assert!(offered.is_sorted());
            position[slot.column] = *pick.get(&offered);
        }
        let ended = layout.end(&position).is_some();
        prop_assert!(!ended || may_end);
        prop_assert!(ended || layout.check(step, &position).is_ok());
        prop_assert_eq!(layout.slots(step, may_end).len() as u64, layout.draws(1, 1.0));
        prop_assert_eq!(layout.draws(step, 0.0), 0);
    }
}

#[test]
fn delayed_books_step_down_like_stairs() {
    let layout = layout(Pattern::Delayed, 3, 4);
    let codes = Codes::from_shape_vec((3, 2), vec![0, 1, 2, 3, 1, 1]).unwrap();
    assert_eq!(ids(&layout.lay(&codes).unwrap()), [[31, 35, 40], [32, 38, 40], [30, 39, 42], [30, 35, 42]]);
}

#[test]
fn interleaved_books_take_turns() {
    let layout = layout(Pattern::Interleaved, 3, 4);
    let codes = Codes::from_shape_vec((3, 2), vec![0, 1, 2, 3, 1, 1]).unwrap();
    assert_eq!(layout.lay(&codes).unwrap().ids(), [30, 36, 39, 31, 37, 39]);
}

#[test]
fn pads_among_delayed_codes_are_holes_and_short_segments_hold_nothing() {
    let layout = layout(Pattern::Delayed, 3, 4);
    let pads = |len: usize| Tokens::from_ids(layout.width, vec![0; 3 * len]).unwrap();
    assert_eq!((layout.frames(&pads(2)), layout.frames(&pads(3))), (0, 1));
    assert_eq!(layout.codes(&pads(3), 0..1).unwrap(), Codes::zeros((3, 1)));
    assert_eq!(layout.holes(&pads(4)), 6);
}

#[test]
fn ids_of_other_books_are_refused_and_not_clamped() {
    for pattern in [Pattern::Delayed, Pattern::Interleaved] {
        let layout = layout(pattern, 3, 5);
        for id in [1, 29, 36, u32::MAX] {
            let tokens = Tokens::from_ids(layout.width, vec![id; 9]).unwrap();
            let error = layout.codes(&tokens, 0..1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Numeric);
            assert!(error.message().contains("expected 3"), "{error}");
        }
    }
}

#[test]
fn a_frame_of_interleaved_books_is_finished_before_the_end() {
    let layout = layout_with(Pattern::Interleaved, 4, 8, |config| config.cap = Some(10));
    let may_end = |step| layout.slots(step, true).iter().any(|slot| may_hold(slot, 2));
    let ending: Vec<_> = (0..10).filter(|step| may_end(*step)).collect();
    assert_eq!(ending, [4, 8], "at the first position there is nothing to end");
    assert!((0..10).all(|step| !layout.slots(step, false).iter().any(|slot| may_hold(slot, 2))));
    // the cap comes before everything: only the end may follow, inside a frame too
    for step in [10, 11] {
        assert_eq!(layout.slots(step, false), layout.slots(step, true));
        assert!(!may_hold(&layout.slots(step, true)[0], 30) && may_hold(&layout.slots(step, true)[0], 2));
    }
    let mut tokens = layout.lay(&Codes::zeros((4, 2))).unwrap();
    tokens.push(&[30]);
    tokens.push(&[2]);
    assert_eq!((layout.frames(&tokens), layout.sounding_len(&tokens), layout.content_len(&tokens)), (2, 8, 9));
}

#[test]
fn before_the_end_is_allowed_a_delayed_sound_does_not_run_out() {
    let layout = layout(Pattern::Delayed, 2, 4);
    let [first, second] = layout.slots(0, false) else { panic!("two books") };
    assert!(!may_hold(first, 30) && !may_hold(first, 2) && may_hold(first, 31));
    assert!(may_hold(second, 35));
    assert!([2, 3, 30, 31].iter().all(|id| may_hold(&layout.slots(0, true)[0], *id)));
}

#[test]
fn ids_that_are_no_codes_are_passed_over_where_the_layout_is_not_strict() {
    let layout = layout_with(Pattern::Interleaved, 1, 8, |config| config.strict = false);
    let tokens = Tokens::from_ids(layout.width, vec![31, 7, 33, 0, 2]).unwrap();
    assert_eq!((layout.frames(&tokens), layout.holes(&tokens)), (2, 2));
    assert_eq!(layout.codes(&tokens, 0..2).unwrap(), Codes::from_shape_vec((1, 2), vec![1, 3]).unwrap());
    assert!(may_hold(&layout.slots(0, true)[0], 7) && layout.check(1, &[7]).is_ok());
    assert!(!may_hold(&layout.slots(0, false)[0], 2) && may_hold(&layout.slots(0, false)[0], 33));
}

#[test]
fn runs_name_the_columns_of_their_ids() {
    let layout = layout(Pattern::Delayed, 2, 4);
    let run = |first, columns| Run { first, columns };
    let first = Slot { column: 0, runs: vec![run(2, 10..11), run(3, 11..12), run(30, 0..5)] };
    assert_eq!(layout.slots(5, true), [first, Slot { column: 1, runs: vec![run(35, 5..10)] }]);
}

#[test]
fn layouts_that_cannot_be_right_are_refused() {
    let overlap = |config: &mut LayoutConfig| config.books[1].start -= 1;
    let empty = |config: &mut LayoutConfig| config.books[1].end = config.books[1].start;
    let outside = |config: &mut LayoutConfig| config.books[1].end += 100;
    let none = |config: &mut LayoutConfig| config.books.clear();
    let loose = |config: &mut LayoutConfig| config.strict = false;
    let endless = |config: &mut LayoutConfig| config.ends.turn.clear();
    let strange_end = |config: &mut LayoutConfig| config.ends.segment = vec![u32::MAX];
    let headless = |config: &mut LayoutConfig| config.ends.turn = vec![7];
    type Case<'a> = (&'a str, &'a dyn Fn(&mut LayoutConfig));
    let cases: [Case; 8] = [
        ("overlaps book 0", &overlap),
        ("book 1 is", &empty),
        ("book 1 is", &outside),
        ("0 books", &none),
        ("strict is false", &loose),
        ("ends.turn is empty", &endless),
        ("is outside", &strange_end),
        ("its head has 0 of the ids 7..8", &headless),
    ];
    for (expected, change) in cases {
        let (config, vocabulary) = config(Pattern::Delayed, 2, 8, change);
        let head = [Interval { start: 30, end: 48 }, Interval { start: 2, end: 4 }];
        let error = Layout::new(&config, &vocabulary, &head).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Package);
        assert!(error.message().contains(expected), "{expected}: {error}");
    }
    let (config, mut vocabulary) = config(Pattern::Delayed, 3, 8, |_| {});
    vocabulary.width = 2;
    assert!(Layout::new(&config, &vocabulary, &[]).unwrap_err().message().contains("a position has 2 ids"));
}
