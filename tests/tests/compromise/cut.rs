//! The heart of it: sessions and tickets from before the containment are worth nothing at once, on every DC.

use domain::containment::ComputerState;
use tests::objects::{account_dn, entry, group_dn, host_dn, make_gmsa, make_group, sid};
use tests::session::{HostSession, Seen};
use tests::twin::{DCS, TwinDcs};

use super::{Farm, LIMIT, Scene, reader_list, told};

/// Domain Computers, the primary group of every member host: relative identifier 515 of the domain.
fn domain_computers(host: &[u8]) -> Vec<u8> {
    [&host[..host.len() - 4], &515_u32.to_le_bytes()].concat()
}

/// gMSAs that are nobody's farm, and that let the host in: by itself, through three groups in each
/// other, as one of Domain Computers.
struct Strangers {
    direct: String,
    nested: String,
    everybody: String,
}

impl Strangers {
    async fn make(scene: &Scene, host: &str) -> Self {
        let name = tests::lab::unique_name;
        let strangers = Self { direct: name("cmpd"), nested: name("cmpn"), everybody: name("cmpe") };
        let admin = scene.twin.admin("dc1");
        let groups = [name("cmpg"), name("cmpg"), name("cmpg")];
        make_group(&admin, &groups[0], &[host_dn(host)]).expect("a group");
        make_group(&admin, &groups[1], &[group_dn(&groups[0])]).expect("a group");
        let outer = make_group(&admin, &groups[2], &[group_dn(&groups[1])]).expect("a group");
        let host = sid(&admin, &host_dn(host)).expect("a SID");
        let readers = [
            (&strangers.direct, host.clone()),
            (&strangers.nested, outer),
            (&strangers.everybody, domain_computers(&host)),
        ];
        for (name, reader) in readers {
            make_gmsa(&admin, name, &[entry::allow(&reader)]).expect("a gMSA");
            scene.replicated(&account_dn(name), "msDS-GroupMSAMembership", 1).await;
        }
        for group in groups {
            scene.replicated(&group_dn(&group), "member", 1).await;
        }
        strangers
    }

    fn names(&self) -> [&str; 3] {
        [&self.direct, &self.nested, &self.everybody]
    }

    /// Every host of the domain may read one of them: other tests' hosts too.
    fn delete(&self, twin: &TwinDcs) {
        for name in self.names() {
            assert!(twin.admin("dc1").delete(&account_dn(name)).expect("the DC answers"), "{name} is there");
        }
    }
}

/// What comes of the same attempt at all of them.
fn each(gmsas: &[&str], mut attempt: impl FnMut(&str) -> anyhow::Result<Seen>) -> Vec<Seen> {
    gmsas.iter().map(|gmsa| attempt(gmsa).expect("an answer")).collect()
}

fn reads_all(sessions: &mut [HostSession; 2], gmsas: &[&str], whose: &str) {
    for (dc, session) in DCS.iter().zip(sessions) {
        let seen = each(gmsas, |gmsa| session.same_session(gmsa));
        assert_eq!(seen, vec![Seen::Password; gmsas.len()], "{whose} at {dc}, {gmsas:?}");
    }
}

fn reads_none(sessions: &mut [HostSession; 2], gmsas: &[&str]) {
    let none = vec![Seen::Denied; gmsas.len()];
    for (dc, session) in DCS.iter().zip(sessions) {
        assert_eq!(each(gmsas, |gmsa| session.same_session(gmsa)), none, "open session at {dc}, {gmsas:?}");
        assert_eq!(each(gmsas, |gmsa| session.new_session(gmsa)), none, "cached ticket at {dc}, {gmsas:?}");
        // The computer account is disabled, which the DC that issues tickets may know already.
        let fresh = each(gmsas, |gmsa| session.new_ticket(gmsa));
        assert!(!fresh.contains(&Seen::Password), "new ticket at {dc}: {gmsas:?} {fresh:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_sessions_and_cached_tickets_are_worth_nothing_at_once_on_two_dcs_that_do_not_replicate() {
    let scene = Scene::new().await;
    let (host, other) = (scene.twin.host(), scene.twin.host());
    let farm: Farm = scene.farm(&[&host, &other]).await;
    let strangers = Strangers::make(&scene, &host).await;
    let all = [&[farm.name.as_str()], &strangers.names()[..]].concat();
    let mut sessions = scene.twin.sessions(&host, &farm.name).expect("sessions");
    let mut others = scene.twin.sessions(&other, &farm.name).expect("sessions");
    reads_all(&mut sessions, &all, "the host before");
    scene.twin.cut_replication();
    let id = scene.contain(&host).await;
    let contained = scene.contained(&id).await;
    reads_none(&mut sessions, &all);
    reads_all(&mut others, &[&farm.name, &strangers.everybody], "another host");

    let mut expected = all.clone();
    expected.sort_unstable();
    assert_eq!(told(&contained, &all), expected, "{contained:#?}");
    assert_eq!(contained.host.computer, ComputerState::Disabled, "{contained:#?}");
    assert!(contained.domain_controllers.iter().all(|dc| dc.denied_at.is_some()), "{contained:#?}");
    let names: Vec<_> = contained.domain_controllers.iter().map(|dc| dc.name.as_str()).collect();
    assert_eq!(names, ["dc1.contoso.com", "dc2.contoso.com"]);
    let denied = (1, sid(&scene.twin.admin("dc1"), &host_dn(&host)).expect("a SID"));
    for (dc, gmsa) in DCS.iter().flat_map(|dc| all.iter().map(move |gmsa| (dc, gmsa))) {
        let list = reader_list(&scene.twin.admin(dc), gmsa);
        assert_eq!(list.first(), Some(&denied), "{gmsa} on {dc}");
        assert_eq!(
            list.iter().filter(|(_, sid)| *sid == denied.1).count(),
            1,
            "{gmsa} on {dc}: nothing else of it"
        );
    }
    for dc in DCS {
        let members = scene.twin.admin(dc).read(&group_dn(&farm.group), &["member"]).expect("an answer");
        assert_eq!(members.expect("the group").texts("member"), [host_dn(&other)], "{dc}");
    }

    // What both wrote for themselves meets: nothing of it is lost.
    scene.twin.heal();
    reads_none(&mut sessions, &all);
    reads_all(&mut others, &[&farm.name], "another host afterwards");
    let again = scene.contain(&host).await;
    let again = scene.contained(&again).await;
    assert!(!again.changed, "{again:#?}");
    strangers.delete(&scene.twin);
    let gone = account_dn(&strangers.everybody);
    tests::wait::eventually("the deletion on dc2", LIMIT, async || {
        scene.twin.admin("dc2").read(&gone, &["1.1"]).expect("an answer").is_none().then_some(())
    })
    .await;
}
