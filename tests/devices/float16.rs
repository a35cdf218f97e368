//! The float16 forms of the graphs on the device: nearly the numbers of the CPU, and replies of the same length.

use std::path::{Path, PathBuf};

use serde_json::json;
use ualm::internal::Comparer;
use ualm::{Message, Modality, Model, Providers, RuntimeOptions};
use ualm_testing::{change_manifest, copied_package, skip_without_fixtures};

use crate::{DEVICE, config, prompts, tokens};

/// Packages with forms, and the largest difference, relative to the largest value. Forms of float32 graphs are compared with the
/// graphs on the CPU. Forms of quantized graphs, whose activations the CPU rounds to 8 bits, are compared with the same forms on the
/// CPU, which sums more exactly than WebGPU.
const PACKAGES: [(&str, f64, bool); 3] =
    [("tiny-omni-gpu", 1e-2, false), ("tiny-audex-gpu", 1e-2, false), ("tiny-audex-int8", 2e-2, true)];

/// Returns a copy of a package; on the CPU it runs its own graphs, or the forms for `provider`.
fn package(name: &str, provider: &str, forms_on_cpu: bool, folder: &Path) -> PathBuf {
    let copy = copied_package(name, &folder.join(name));
    if forms_on_cpu {
        change_manifest(&copy, |manifest| {
            let forms = manifest["variants"][provider].clone();
            manifest["variants"] = json!({"cpu": forms, provider: forms});
        });
    }
    copy
}

/// Every graph alone, and all together, give nearly the numbers of the CPU: logits after given tokens, features, codes, sounds. A
/// device without float16 runs the package's own graphs, and reports why.
#[test]
fn forms_give_nearly_the_numbers_of_the_cpu() {
    skip_without_fixtures!();
    let Some(device) = DEVICE.as_ref() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut options = RuntimeOptions::default();
    let providers = device.parse::<Providers>().unwrap();
    let provider = providers.of("llm")[0].name().to_owned();
    options.providers = Some(providers);
    for (name, tolerance, forms_on_cpu) in PACKAGES {
        let model = Model::load_with(package(name, &provider, forms_on_cpu, folder.path()), &options).unwrap();
        model.load_all().unwrap();
        let graphs = model.provider_report().unwrap().graphs;
        let mut forms = 0;
        for placed in graphs.iter().filter(|placed| placed.provider == provider) {
            let Some(form) = model.manifest().variant(&provider, &placed.graph) else { continue };
            match &placed.variant_passed_over {
                None => assert_eq!(placed.file, form),
                Some(why) => assert!(why.contains("does not compute in float16"), "{placed}"),
            }
            forms += usize::from(placed.variant_passed_over.is_none());
        }
        let has_float16 = graphs.iter().all(|placed| placed.variant_passed_over.is_none());
        assert_eq!(forms > 0, has_float16, "{name}");
        if !has_float16 && forms_on_cpu {
            continue; // the embedding of such a package is float16 in its own graph
        }
        for compared in &Comparer::new(&model).unwrap().alone.compared {
            assert_eq!(compared.failure, None, "{name}");
            let is_near = compared.difference.is_none_or(|error| error <= tolerance);
            assert!(is_near, "{name}: {compared}");
        }
        check_replies(&model, name);
    }
}

/// Greedy replies have the requested length, and a fork gives the same reply from its copy of the float16 cache.
fn check_replies(model: &Model, name: &str) {
    for modality in [Modality::Text, Modality::Audio] {
        let mut config = config(model, modality, 0);
        let settings = config.segment_mut(modality);
        settings.temperature = 0.0;
        settings.max_steps = 8;
        settings.min_steps = 8;
        let messages: &[Message] = &prompts()[1];
        let mut session = model.session();
        let prompt = session.prompt_for(modality, messages).unwrap();
        let checkpoint = session.checkpoint(&prompt).unwrap();
        let mut fork = session.fork(&checkpoint).unwrap();
        let [first, again] = [&mut session, &mut fork].map(|session| {
            let reply = session.generate_from(&checkpoint, &config).unwrap().into_reply().unwrap();
            reply.segments.into_iter().map(|segment| segment.tokens).collect::<Vec<_>>()
        });
        assert_eq!(first, again, "{name}: {modality}");
        assert!(first[0].len() >= 8, "{name}: {modality} of {} positions", first[0].len());
        assert_eq!(tokens(&mut model.session(), messages, &config), first, "{name}: {modality}, from the prompt again");
    }
}
