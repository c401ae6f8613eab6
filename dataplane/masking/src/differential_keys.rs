//! Masking of keys and headers compared with its slow twin.

use crate::differential::{JSON_PATHS, PATHS, Random, SCALARS, SEED, mutate, object};
use crate::key_ring::{DomainKey, KeyRing};
use crate::path::Path;
use crate::plan::{MaskPlan, MaskRule, Target, TokenLength, TokenShape};
use crate::{Masked, Scratch, mask_header, mask_key, scalar};

#[test]
fn keys_and_headers_agree_with_the_twin() {
    println!("seed {SEED:#x}");
    let mut random = Random(SEED ^ 11);
    let key = DomainKey::derive(&[9; 32], "d", 4);
    let mut ring = KeyRing::new();
    ring.insert("d", key.clone()).unwrap();
    let mut scratch = Scratch::new();
    let (mut documents, mut wholes) = (0, 0);
    for _ in 0..400 {
        let shape = random.pick(&TokenShape::ALL);
        let length = random.pick(&[TokenLength::Own, TokenLength::Same]);
        let paths = [random.pick(PATHS), random.pick(JSON_PATHS)];
        let rule = |target| MaskRule {
            target,
            shape,
            length,
            domain: "d",
        };
        let fields = paths.map(|path| rule(Target::KeyField(path)));
        let fields = MaskPlan::compile(&fields, &ring).unwrap();
        let whole = [rule(Target::Key), rule(Target::Header("h"))];
        let whole = MaskPlan::compile(&whole, &ring).unwrap();
        let twin = paths.map(|path| scalar::Rule {
            path: Path::parse(path).unwrap(),
            key: key.clone(),
            shape,
            // Keys are never cut.
            length: TokenLength::Own,
        });
        let header = scalar::Rule {
            length,
            ..twin[0].clone()
        };
        let opaque = scalar::Rule {
            shape: TokenShape::Opaque,
            ..twin[0].clone()
        };
        for _ in 0..100 {
            let mut content = match random.below(3) {
                0 => random.pick(SCALARS).trim_matches('"').as_bytes().to_vec(),
                _ => {
                    let mut document = String::new();
                    object(&mut random, 0, &mut document);
                    document.into_bytes()
                }
            };
            if random.below(4) == 0 {
                mutate(&mut random, &mut content);
            }
            let shown = || {
                format!(
                    "{paths:?} {shape:?} {length:?} on {}",
                    String::from_utf8_lossy(&content)
                )
            };
            let bare = scalar::bare(&twin[0], &content).into_bytes();
            let opaque = scalar::bare(&opaque, &content).into_bytes();
            let mut out = Vec::new();
            mask_key(&whole, &content, &mut scratch, &mut out);
            assert_eq!(out, bare, "{}", shown());
            out.clear();
            mask_header(&whole, "H", &content, &mut out);
            assert_eq!(
                out,
                scalar::bare(&header, &content).as_bytes(),
                "{}",
                shown()
            );
            assert!(length == TokenLength::Own || out.len() == content.len());
            out.clear();
            let masked = mask_key(&fields, &content, &mut scratch, &mut out);
            let expected = scalar::mask_key(&twin, &content);
            documents += usize::from(expected.is_some());
            wholes += usize::from(expected.is_none());
            let out = match masked {
                Masked::Unchanged => &content,
                Masked::Changed { .. } => &out,
            };
            assert_eq!(out, &expected.unwrap_or(opaque), "{}", shown());
        }
    }
    println!("{documents} documents, {wholes} replaced whole");
    assert!(documents > 15_000 && wholes > 10_000);
}
