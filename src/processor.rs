//! The processor of this machine: its name, and the instructions that decide how fast ONNX Runtime's kernels are.

use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;
use sysinfo::{CpuRefreshKind, RefreshKind, System};

/// The processor of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Processor {
    /// The vendor's name of the processor; empty if the system does not report it.
    pub name: String,
    /// The usable instruction sets among those that decide the choice of kernels: `AVX2`, `AVX-512 VNNI` … `AMX` means that
    /// the processor has it; a program must request it from the system.
    pub features: Vec<&'static str>,
}

const AVX2: &str = "AVX2";
const FMA: &str = "FMA";
const AVX_VNNI: &str = "AVX-VNNI";
/// AVX-512 with the parts that all its processors have: F, BW, DQ and VL.
const AVX512: &str = "AVX-512";
const AVX512_VNNI: &str = "AVX-512 VNNI";

impl Processor {
    /// Returns the processor of this machine.
    pub fn get() -> &'static Self {
        static PROCESSOR: OnceLock<Processor> = OnceLock::new();
        PROCESSOR.get_or_init(|| Self { name: name(), features: features() })
    }

    /// Returns the instruction set with which ONNX Runtime multiplies unsigned by signed 8-bit integers without saturating
    /// sums; `None` if the processor has none, or if ONNX Runtime is not known to use it.
    ///
    /// The conditions follow ONNX Runtime's `mlas/lib/platform.cpp` (1.32): a processor with AVX-512 gets an AVX-512
    /// kernel, even if it has AVX-VNNI. On Arm the result is always `None`.
    pub fn vnni(&self) -> Option<&'static str> {
        vnni(|feature| self.features.contains(&feature))
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "unnamed processor" } else { &self.name };
        write!(f, "{name}, {}, ", std::env::consts::ARCH)?;
        f.write_str(&if self.features.is_empty() {
            "no vector features known".into()
        } else {
            self.features.join(", ")
        })
    }
}

/// Returns the kind of VNNI of a processor that `has` some features.
fn vnni(has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let is_usable = has(AVX2) && has(FMA);
    let kind = if has(AVX512) { AVX512_VNNI } else { AVX_VNNI };
    (is_usable && has(kind)).then_some(kind)
}

fn name() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    system.cpus().first().map(|cpu| cpu.brand().split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    macro_rules! has {
        ($($feature:tt),+) => { $(std::arch::is_x86_feature_detected!($feature))&&+ };
    }
    let all = [
        (AVX2, has!("avx2")),
        (FMA, has!("fma")),
        (AVX_VNNI, has!("avxvnni")),
        (AVX512, has!("avx512f", "avx512bw", "avx512dq", "avx512vl")),
        (AVX512_VNNI, has!("avx512vnni")),
        ("AVX-512 BF16", has!("avx512bf16")),
        ("AVX-512 FP16", has!("avx512fp16")),
        ("AMX", has!("avx512f") && has_amx()),
    ];
    named(&all)
}

/// Returns whether a processor with AVX-512 has tiles, and products of 8-bit integers in them.
#[cfg(target_arch = "x86_64")]
fn has_amx() -> bool {
    let amx = (1 << 24) | (1 << 25);
    std::arch::x86_64::__cpuid_count(7, 0).edx & amx == amx
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    macro_rules! has {
        ($feature:tt) => {
            std::arch::is_aarch64_feature_detected!($feature)
        };
    }
    let all = [
        ("NEON", has!("neon")),
        ("dot products", has!("dotprod")),
        ("float16", has!("fp16")),
        ("8-bit matrix products", has!("i8mm")),
        ("bfloat16", has!("bf16")),
        ("SVE", has!("sve")),
    ];
    named(&all)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn named(all: &[(&'static str, bool)]) -> Vec<&'static str> {
    all.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vnni_is_that_of_the_kernels_that_onnx_runtime_chooses() {
        for (features, expected) in [
            (&[AVX2, FMA, AVX512, AVX512_VNNI][..], Some(AVX512_VNNI)),
            (&[AVX2, FMA, AVX512, AVX512_VNNI, AVX_VNNI], Some(AVX512_VNNI)),
            (&[AVX2, FMA, AVX_VNNI], Some(AVX_VNNI)),
            (&[AVX2, FMA, AVX512, AVX_VNNI], None), // its kernel is one of AVX-512, which saturates
            (&[AVX2, FMA, AVX512], None),
            (&[AVX2, FMA, AVX512_VNNI], None),
            (&[AVX2, AVX_VNNI], None),
            (&[AVX2, FMA], None),
            (&["NEON", "dot products"], None),
            (&[], None),
        ] {
            assert_eq!(vnni(|feature| features.contains(&feature)), expected, "{features:?}");
        }
    }

    /// The system's own list is another source than the processor's answers.
    #[test]
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    fn features_are_those_that_the_system_lists() {
        let listed = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = listed.lines().find_map(|line| line.strip_prefix("flags")).unwrap();
        let has = |flag: &str| flags.split_whitespace().any(|listed| listed == flag);
        let processor = Processor::get();
        for (feature, flag) in [
            (AVX2, "avx2"),
            (FMA, "fma"),
            (AVX_VNNI, "avx_vnni"),
            (AVX512_VNNI, "avx512_vnni"),
            (AVX512, "avx512bw"),
            ("AMX", "amx_int8"),
        ] {
            assert_eq!(processor.features.contains(&feature), has(flag), "{feature}: {flags}");
        }
        let name = listed.lines().find_map(|line| line.strip_prefix("model name")).unwrap();
        assert_eq!(name.trim_start_matches([':', ' ', '\t']).trim(), processor.name);
        assert!(processor.to_string().contains(AVX2) || !has("avx2"), "{processor}");
    }
}
