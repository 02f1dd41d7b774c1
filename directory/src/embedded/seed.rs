//! The first contents: a forest of one domain, `contoso.com`, with ten hosts to make farms of.

use chrono::Duration;
use domain::{Clock, Dn, Rng, Sid};

use super::add::{self, Given};
use super::classes;
use super::draft::{Context, file_time, new_guid};
use super::forest::{Changes, Counters, Forest};
use super::names::{self, rid};
use super::rights::Caller;
use super::rootdse::FUNCTIONAL_LEVEL;
use super::spn::HOST_ALIASES;
use super::store::StoreError;

const HOSTS: usize = 10;
/// `B:32:<GUID>:<DN>` each.
const WELL_KNOWN: [(&str, &str); 3] = [
    ("A9D1CA15768811D1ADED00C04FD8D5CD", names::USERS),
    ("AA312825768811D1ADED00C04FD8D5CD", "CN=Computers,DC=contoso,DC=com"),
    ("A361B2FFFFD211D1AA4B00C04FD7D83A", "OU=Domain Controllers,DC=contoso,DC=com"),
];
const BUILTIN: &str = "CN=Builtin,DC=contoso,DC=com";
const SERVICES: &str = "CN=Services,CN=Configuration,DC=contoso,DC=com";
const PARTITIONS: &str = "CN=Partitions,CN=Configuration,DC=contoso,DC=com";
const DC_ACCOUNT: &str = "CN=DC1,OU=Domain Controllers,DC=contoso,DC=com";
const BUILTIN_LOCAL_GROUP: &str = "-2147483643";

/// An object of the seed: DN, class, further attributes.
fn object(dn: impl AsRef<str>, class: &str, attributes: &[(&str, &[&str])]) -> (Dn, Given) {
    let values = |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect();
    let given = std::iter::once(("objectClass".to_owned(), values(&[class])))
        .chain(attributes.iter().map(|(name, list)| ((*name).to_owned(), values(list))));
    (names::known(dn.as_ref()), given.collect())
}

fn with_bytes((dn, mut given): (Dn, Given), name: &str, value: Vec<u8>) -> (Dn, Given) {
    given.push((name.to_owned(), vec![value]));
    (dn, given)
}

pub fn first_contents(forest: &mut Forest, clock: &dyn Clock, rng: &dyn Rng) -> Result<Changes, StoreError> {
    let domain = domain_sid(rng);
    let mut sum = Changes { counters: Counters::default(), ..Changes::default() };
    let parts = [heads(&domain), containers(), principals(&domain), hosts(1..=HOSTS), sites(rng)];
    let later = [services(clock, rng), schema()];
    for (dn, given) in parts.into_iter().chain(later).flatten() {
        let context = Context { forest, caller: Caller::System, clock, rng };
        let changes = add::add(&context, dn.as_str(), given).map_err(|rejection| StoreError::Broken {
            path: "the seed".to_owned(),
            what: format!("{dn}: {}", rejection.text),
        })?;
        forest.apply(changes.clone());
        sum.append(changes);
    }
    Ok(sum)
}

fn domain_sid(rng: &dyn Rng) -> Sid {
    let mut random = [0; 12];
    rng.fill(&mut random);
    let part = |at: usize| u32::from_le_bytes([random[at], random[at + 1], random[at + 2], random[at + 3]]);
    let parts = vec![21, part(0), part(4), part(8)];
    #[expect(clippy::expect_used, reason = "four sub-authorities always fit")]
    Sid::new(5, parts).expect("a SID")
}

fn heads(domain: &Sid) -> Vec<(Dn, Given)> {
    let entry = |(guid, dn): (&str, &str)| format!("B:32:{guid}:{dn}");
    let known = WELL_KNOWN.map(entry);
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let msa = entry(("1EB93889E40C45DF9F0C64D23BBB6237", names::MSA));
    let attributes: [(&str, &[&str]); 6] = [
        ("wellKnownObjects", &known),
        ("otherWellKnownObjects", &[&msa]),
        ("msDS-Behavior-Version", &[FUNCTIONAL_LEVEL]),
        ("ms-DS-MachineAccountQuota", &["10"]),
        ("fSMORoleOwner", &[names::SETTINGS]),
        ("isCriticalSystemObject", &["TRUE"]),
    ];
    let head = object(names::DOMAIN, "domainDNS", &attributes);
    vec![
        with_bytes(head, "objectSid", domain.to_bytes()),
        object(names::CONFIGURATION, "configuration", &[("isCriticalSystemObject", &["TRUE"])]),
        // 88: Windows Server 2019 and 2022.
        object(names::SCHEMA, "dMD", &[("objectVersion", &["88"]), ("isCriticalSystemObject", &["TRUE"])]),
    ]
}

fn containers() -> Vec<(Dn, Given)> {
    let critical: [(&str, &[&str]); 1] = [("isCriticalSystemObject", &["TRUE"])];
    vec![
        object(names::USERS, "container", &critical),
        object("CN=Computers,DC=contoso,DC=com", "container", &critical),
        object(BUILTIN, "builtinDomain", &critical),
        object("OU=Domain Controllers,DC=contoso,DC=com", "organizationalUnit", &critical),
        object(names::MSA, "container", &[]),
        object("CN=System,DC=contoso,DC=com", "container", &critical),
        object(names::HOSTS, "organizationalUnit", &[("description", &["hosts of farms"])]),
        object(names::FARMS, "organizationalUnit", &[("description", &["groups of farms"])]),
    ]
}

fn principals(domain: &Sid) -> Vec<(Dn, Given)> {
    let sid = |rid: u32| domain.with_rid(rid).map(|sid| sid.to_bytes()).unwrap_or_default();
    let user = |dn: &str, name: &str, rid: Option<u32>| {
        let control: [(&str, &[&str]); 2] = [("sAMAccountName", &[name]), ("userAccountControl", &["66048"])];
        let user = object(dn, "user", &control);
        rid.map_or(user.clone(), |rid| with_bytes(user, "objectSid", sid(rid)))
    };
    let group = |name: &str, number: u32, members: &[&str]| {
        let mut attributes: Vec<(&str, &[&str])> =
            vec![("sAMAccountName", std::slice::from_ref(&name)), ("isCriticalSystemObject", &["TRUE"])];
        if !members.is_empty() {
            attributes.push(("member", members));
        }
        with_bytes(
            object(format!("CN={name},{}", names::USERS), "group", &attributes),
            "objectSid",
            sid(number),
        )
    };
    let builtin = |name: &str, number: u32, members: &[&str]| {
        let mut attributes: Vec<(&str, &[&str])> = vec![
            ("sAMAccountName", std::slice::from_ref(&name)),
            ("isCriticalSystemObject", &["TRUE"]),
            ("groupType", &[BUILTIN_LOCAL_GROUP]),
        ];
        if !members.is_empty() {
            attributes.push(("member", members));
        }
        let sid = Sid::new(5, vec![32, number]).map(|sid| sid.to_bytes()).unwrap_or_default();
        with_bytes(object(format!("CN={name},{BUILTIN}"), "group", &attributes), "objectSid", sid)
    };
    vec![
        user(names::ADMINISTRATOR, "Administrator", Some(rid::ADMINISTRATOR)),
        user(names::SERVICE_ACCOUNT, "svc-orchestrator", None),
        group("Domain Admins", rid::DOMAIN_ADMINS, &[names::ADMINISTRATOR]),
        group("Domain Users", rid::DOMAIN_USERS, &[]),
        group("Domain Computers", rid::DOMAIN_COMPUTERS, &[]),
        group("Domain Controllers", rid::DOMAIN_CONTROLLERS, &[]),
        builtin(
            "Administrators",
            544,
            &["CN=Domain Admins,CN=Users,DC=contoso,DC=com", names::ADMINISTRATOR],
        ),
        builtin("Users", 545, &["CN=Domain Users,CN=Users,DC=contoso,DC=com"]),
        builtin("Account Operators", 548, &[]),
        dc_account(),
    ]
}

fn dc_account() -> (Dn, Given) {
    let attributes: [(&str, &[&str]); 6] = [
        ("sAMAccountName", &["DC1$"]),
        // A domain controller, trusted for delegation.
        ("userAccountControl", &["532480"]),
        ("primaryGroupID", &["516"]),
        ("dNSHostName", &[names::DC_HOST]),
        ("servicePrincipalName", &["HOST/DC1", "HOST/dc1.contoso.com", "ldap/DC1", "ldap/dc1.contoso.com"]),
        ("isCriticalSystemObject", &["TRUE"]),
    ];
    object(DC_ACCOUNT, "computer", &attributes)
}

/// Host1, Host2, ...: computers in OU=Servers.
pub fn hosts(numbers: std::ops::RangeInclusive<usize>) -> Vec<(Dn, Given)> {
    numbers.map(|number| computer(&format!("Host{number}"))).collect()
}

/// A member server as joining the domain makes it.
pub fn computer(name: &str) -> (Dn, Given) {
    let host = format!("{}.{}", name.to_lowercase(), names::DNS_DOMAIN);
    let spns = [format!("HOST/{name}"), format!("HOST/{host}")];
    let attributes: [(&str, &[&str]); 4] = [
        ("sAMAccountName", &[&format!("{name}$")]),
        ("userAccountControl", &["4096"]),
        ("dNSHostName", &[&host]),
        ("servicePrincipalName", &[&spns[0], &spns[1]]),
    ];
    let (_, given) = object(names::HOSTS, "computer", &attributes);
    (names::known(names::HOSTS).child("CN", name), given)
}

pub fn user(name: &str) -> (Dn, Given) {
    let attributes: [(&str, &[&str]); 2] = [("sAMAccountName", &[name]), ("userAccountControl", &["512"])];
    let (_, given) = object(names::USERS, "user", &attributes);
    (names::known(names::USERS).child("CN", name), given)
}

pub fn group(name: &str, members: &[Dn]) -> (Dn, Given) {
    let members: Vec<_> = members.iter().map(Dn::as_str).collect();
    let (_, mut given) = object(names::FARMS, "group", &[("sAMAccountName", &[name])]);
    if !members.is_empty() {
        given.push(("member".to_owned(), members.iter().map(|dn| dn.as_bytes().to_vec()).collect()));
    }
    (names::known(names::FARMS).child("CN", name), given)
}

/// A gMSA with two SPNs, rolling every 30 days; `readers` is its msDS-GroupMSAMembership.
pub fn gmsa(name: &str, readers: Option<&[u8]>) -> (Dn, Given) {
    let host = format!("{}.{}", name.to_lowercase(), names::DNS_DOMAIN);
    let spns = [format!("http/{name}"), format!("http/{host}")];
    let attributes: [(&str, &[&str]); 6] = [
        ("sAMAccountName", &[&format!("{name}$")]),
        ("userAccountControl", &["4096"]),
        ("dNSHostName", &[&host]),
        ("msDS-ManagedPasswordInterval", &["30"]),
        ("msDS-SupportedEncryptionTypes", &["24"]),
        ("servicePrincipalName", &[&spns[0], &spns[1]]),
    ];
    let (_, given) = object(names::MSA, "msDS-GroupManagedServiceAccount", &attributes);
    let account = (names::known(names::MSA).child("CN", name), given);
    match readers {
        Some(readers) => with_bytes(account, "msDS-GroupMSAMembership", readers.to_vec()),
        None => account,
    }
}

fn sites(rng: &dyn Rng) -> Vec<(Dn, Given)> {
    let settings: [(&str, &[&str]); 6] = [
        // Bit 0: a global catalogue.
        ("options", &["1"]),
        ("msDS-Behavior-Version", &[FUNCTIONAL_LEVEL]),
        ("hasMasterNCs", &[names::DOMAIN, names::CONFIGURATION, names::SCHEMA]),
        ("msDS-hasMasterNCs", &[names::DOMAIN, names::CONFIGURATION, names::SCHEMA]),
        ("msDS-HasDomainNCs", &[names::DOMAIN]),
        ("dMDLocation", &[names::SCHEMA]),
    ];
    let server: [(&str, &[&str]); 2] =
        [("dNSHostName", &[names::DC_HOST]), ("serverReference", &[DC_ACCOUNT])];
    vec![
        object("CN=Sites,CN=Configuration,DC=contoso,DC=com", "sitesContainer", &[]),
        object("CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=contoso,DC=com", "site", &[]),
        object(names::SERVERS, "serversContainer", &[]),
        object(names::SERVER, "server", &server),
        with_bytes(object(names::SETTINGS, "nTDSDSA", &settings), "invocationId", new_guid(rng)),
    ]
}

fn services(clock: &dyn Clock, rng: &dyn Rng) -> Vec<(Dn, Given)> {
    let cross_ref: [(&str, &[&str]); 3] =
        [("nCName", &[names::DOMAIN]), ("dnsRoot", &[names::DNS_DOMAIN]), ("nETBIOSName", &[names::NETBIOS])];
    let limits: &[&str] = &["MaxPageSize=1000", "MaxValRange=1500", "MaxReceiveBuffer=10485760"];
    let policies = format!("CN=Query-Policies,{}", names::DIRECTORY_SERVICE);
    let distribution = format!("CN=Group Key Distribution Service,{SERVICES}");
    vec![
        object(PARTITIONS, "crossRefContainer", &[("msDS-Behavior-Version", &[FUNCTIONAL_LEVEL])]),
        object(format!("CN=CONTOSO,{PARTITIONS}"), "crossRef", &cross_ref),
        object(SERVICES, "container", &[]),
        object(format!("CN=Windows NT,{SERVICES}"), "container", &[]),
        object(
            names::DIRECTORY_SERVICE,
            "nTDSService",
            &[("sPNMappings", &[&format!("host={HOST_ALIASES}")])],
        ),
        object(&policies, "container", &[]),
        object(format!("CN=Default Query Policy,{policies}"), "queryPolicy", &[("lDAPAdminLimits", limits)]),
        object(&distribution, "container", &[]),
        object(names::ROOT_KEYS, "container", &[]),
        root_key(clock, rng),
    ]
}

/// In use for a year already, so that the first farm need not wait ten hours. Without the secret
/// part: nothing is ever derived from it here.
fn root_key(clock: &dyn Clock, rng: &dyn Rng) -> (Dn, Given) {
    let mut random = [0; 16];
    rng.fill(&mut random);
    let guid = uuid::Builder::from_random_bytes(random).into_uuid();
    let since = file_time(clock.now() - Duration::days(365)).to_string();
    let attributes: [(&str, &[&str]); 8] = [
        ("msKds-Version", &["1"]),
        ("msKds-CreateTime", &[&since]),
        ("msKds-UseStartTime", &[&since]),
        ("msKds-DomainID", &[DC_ACCOUNT]),
        ("msKds-KDFAlgorithmID", &["SP800_108_CTR_HMAC"]),
        ("msKds-SecretAgreementAlgorithmID", &["DH"]),
        ("msKds-PublicKeyLength", &["2048"]),
        ("msKds-PrivateKeyLength", &["256"]),
    ];
    object(format!("CN={guid},{}", names::ROOT_KEYS), "msKds-ProvRootKey", &attributes)
}

fn schema() -> Vec<(Dn, Given)> {
    let entry = |class: &'static classes::Class| {
        let attributes: [(&str, &[&str]); 3] = [
            ("lDAPDisplayName", &[class.name]),
            ("subClassOf", &[class.parent]),
            ("objectClassCategory", &["1"]),
        ];
        let entry = object(format!("CN={},{}", class.cn, names::SCHEMA), "classSchema", &attributes);
        let guid = class.guid.and_then(|guid| uuid::Uuid::parse_str(guid).ok());
        match guid {
            Some(guid) => with_bytes(entry, "schemaIDGUID", guid.to_bytes_le().to_vec()),
            None => entry,
        }
    };
    classes::classes().map(entry).collect()
}
