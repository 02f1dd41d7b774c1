//! Descriptors and password ids against Samba's own code: what we write Samba reads alike, what
//! it writes we read alike, and both judge access alike. One process answers for hundreds of
//! generated cases.

use std::io::Write;
use std::process::{Command, Stdio};

use directory::password_id::{ManagedPasswordId, Slot};
use directory::security::{
    Access, AccessAce, Ace, AceBody, Acl, Effect, FULL_CONTROL, ObjectTypes, ReaderDescriptor,
    SecurityDescriptor, access_check,
};
use domain::Sid;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

const CASES: usize = 400;

fn sid() -> impl Strategy<Value = Sid> {
    prop_oneof![
        3 => (1000_u32..1006).prop_map(|rid| Sid::new(5, vec![21, 1, 2, 3, rid]).expect("in range")),
        1 => Just(Sid::new(1, vec![0]).expect("in range")),
        1 => Just(Sid::new(5, vec![11]).expect("in range")),
        1 => prop::collection::vec(any::<u32>(), 1..15).prop_map(|subs| Sid::new(5, subs).expect("in range")),
    ]
}

fn ace() -> impl Strategy<Value = Ace> {
    let mask = prop_oneof![
        Just(0x10_u32),
        Just(FULL_CONTROL),
        Just(0x20),
        Just(0x8000_0000),
        Just(0x1000_0000),
        (0_u32..0x0010_0000)
    ];
    let object =
        prop_oneof![3 => Just(None), 1 => (any::<Option<u128>>(), any::<Option<u128>>()).prop_map(Some)];
    // Object inherit, container inherit, no propagate, inherit only, inherited.
    let flags = prop_oneof![2 => Just(0_u8), 1 => 0_u8..0x20];
    (any::<bool>(), mask, object, flags, sid()).prop_map(|(allow, mask, object, flags, sid)| {
        let guid = |id: Option<u128>| id.map(Uuid::from_u128);
        let object = object.map(|(kind, inherited)| ObjectTypes {
            other_flags: 0,
            object_type: guid(kind),
            inherited_object_type: guid(inherited),
        });
        let effect = if allow { Effect::Allow } else { Effect::Deny };
        let access = AccessAce { effect, mask, object, sid, callback: false, tail: Vec::new() };
        Ace { flags, body: AceBody::Access(access) }
    })
}

fn descriptor() -> impl Strategy<Value = SecurityDescriptor> {
    let aces = prop_oneof![8 => prop::collection::vec(ace(), 0..8).prop_map(Some), 1 => Just(None)];
    (prop::option::of(sid()), prop::option::of(sid()), aces).prop_map(|(owner, group, aces)| {
        SecurityDescriptor {
            resource_manager: 0,
            control: if aces.is_some() { 0x8004 } else { 0x8000 },
            owner,
            group,
            sacl: None,
            dacl: aces.map(Acl::new),
        }
    })
}

fn password_id() -> impl Strategy<Value = ManagedPasswordId> {
    (300_u32..400, 0_u32..32, 0_u32..32, any::<u128>(), "[a-z]{1,20}\\.[a-z]{2,5}", "[a-z]{1,20}").prop_map(
        |(l0, l1, l2, key, domain, forest)| ManagedPasswordId {
            slot: Slot::new(l0, l1, l2).expect("in range"),
            root_key: Uuid::from_u128(key),
            domain,
            forest,
            flags: 2,
            additional: Vec::new(),
        },
    )
}

fn without_object_entries(mut descriptor: SecurityDescriptor) -> SecurityDescriptor {
    let plain = |ace: &Ace| matches!(&ace.body, AceBody::Access(access) if access.object.is_none());
    if let Some(dacl) = &mut descriptor.dacl {
        dacl.aces.retain(plain);
    }
    descriptor
}

/// The same cases in every run.
fn generate<T>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("a case").current()).collect()
}

fn ask_samba(question: &Value) -> Value {
    let python = std::env::var("FARMHAND_TEST_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".to_owned());
    let available = Command::new(&python)
        .args(["-c", "import samba.dcerpc.security, samba.dcerpc.gkdi, samba.security"])
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(
        available,
        "{python} has no Samba bindings, which this test checks against: `apt-get install python3-samba` (4.21 or \
         later; deploy/lab/up does it), or set FARMHAND_SKIP_LAB=1 to go without"
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samba_oracle.py");
    let mut child = Command::new(&python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(question.to_string().as_bytes()).expect("python reads");
    drop(stdin);
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "the oracle failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("a string")).expect("hexadecimal")
}

/// What Samba's own writer makes: conditions, audit entries, protected lists, both list kinds.
const SDDL: [&str; 10] = [
    "O:BAD:(A;;0xf01ff;;;S-1-5-21-1-2-3-1000)",
    "O:BAG:BAD:PAI(D;;RP;;;S-1-5-21-1-2-3-1000)(A;CIID;RPWP;;;AU)",
    "O:BAD:",
    "O:BA",
    "G:SY",
    "O:BAD:(OA;CIIO;RPWP;888eedd6-ce04-df40-b462-b8a50e41ba38;7b8b558a-93a5-4af7-adca-c017e67f1057;AU)",
    "O:BAD:(OD;;CR;00299570-246d-11d0-a768-00aa006e0529;;WD)",
    "O:BAD:(XA;;RP;;;AU;(Member_of {SID(BA)}))(XD;;RP;;;WD;(@USER.dept == \"it\"))",
    "O:BAD:(A;;RP;;;AU)S:(AU;SAFA;RPWP;;;WD)",
    "O:BAD:(A;;RP;;;AU)S:(RA;;;;;WD;(\"secret\",TI,0,1))",
];

#[test]
fn samba_and_we_read_write_and_judge_alike() {
    if std::env::var_os("FARMHAND_SKIP_LAB").is_some_and(|value| value == "1") {
        eprintln!("skipped: FARMHAND_SKIP_LAB=1");
        return;
    }
    let ours = generate((descriptor(), prop::collection::vec(sid(), 1..4)), CASES);
    let ids = generate(password_id(), 50);
    let cases: Vec<_> = ours
        .iter()
        .map(|(descriptor, token)| {
            let token: Vec<_> = token.iter().map(Sid::to_string).collect();
            let plain = without_object_entries(descriptor.clone()).to_bytes().expect("fits");
            let whole = descriptor.to_bytes().expect("fits");
            json!({ "bytes": hex::encode(whole), "plain": hex::encode(plain), "token": token })
        })
        .collect();
    let id_bytes: Vec<_> = ids.iter().map(|id| hex::encode(id.to_bytes())).collect();
    let answer = ask_samba(&json!({ "descriptors": cases, "sddl": SDDL, "password_ids": id_bytes }));

    let judged = answer["judged"].as_array().expect("a list");
    assert_eq!(judged.len(), CASES);
    let mut granted = 0;
    for ((descriptor, token), judged) in ours.iter().zip(judged) {
        let sddl = &judged["sddl"];
        let read = |field: &str| SecurityDescriptor::parse(&bytes(&judged[field])).expect("Samba's bytes");
        assert_eq!(read("repacked"), *descriptor, "{sddl}");
        assert_eq!(read("through_sddl"), *descriptor, "{sddl}");
        let may_read = judged["may_read"].as_bool().expect("a verdict");
        let expected = if may_read { Access::Granted } else { Access::Denied };
        assert_eq!(access_check(descriptor, token), expected, "{sddl} for {token:?}");
        granted += usize::from(may_read);
    }
    assert!((CASES / 20..CASES * 19 / 20).contains(&granted), "the cases tell little: {granted} granted");

    for (sddl, built) in SDDL.iter().zip(answer["built"].as_array().expect("a list")) {
        let built = bytes(built);
        let parsed = SecurityDescriptor::parse(&built).unwrap_or_else(|error| panic!("{sddl}: {error}"));
        let again = parsed.to_bytes().expect("fits");
        assert_eq!(SecurityDescriptor::parse(&again), Ok(parsed), "{sddl}");
        // Samba puts the SACL before the DACL and keeps no gaps, as we do.
        assert_eq!(hex::encode(again), hex::encode(&built), "{sddl}");
    }
    let reader = Sid::new(5, vec![21, 1, 2, 3, 1000]).expect("in range");
    let written = ReaderDescriptor::allowing([&reader]).to_bytes().expect("fits");
    assert_eq!(bytes(&answer["built"][0]), written, "what samba-tool writes for one reader");

    for (id, read) in ids.iter().zip(answer["password_ids"].as_array().expect("a list")) {
        let numbers = ["l0", "l1", "l2"].map(|name| read[name].as_u64().expect("a number") as u32);
        assert_eq!(numbers, [id.slot.l0(), id.slot.l1(), id.slot.l2()]);
        assert_eq!(read["root_key"], id.root_key.to_string());
        assert_eq!((&read["domain"], &read["forest"]), (&json!(id.domain), &json!(id.forest)));
        assert_eq!(ManagedPasswordId::parse(&bytes(&read["repacked"])).as_ref(), Ok(id));
    }
}
