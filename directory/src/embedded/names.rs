//! The names of the small forest, and the parts of it that the rules speak of.

use domain::Dn;

pub const DOMAIN: &str = "DC=contoso,DC=com";
pub const DNS_DOMAIN: &str = "contoso.com";
pub const NETBIOS: &str = "CONTOSO";
pub const DC_HOST: &str = "dc1.contoso.com";

pub const CONFIGURATION: &str = "CN=Configuration,DC=contoso,DC=com";
pub const SCHEMA: &str = "CN=Schema,CN=Configuration,DC=contoso,DC=com";
pub const SERVERS: &str = "CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=contoso,DC=com";
pub const SERVER: &str =
    "CN=DC1,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=contoso,DC=com";
pub const SETTINGS: &str = "CN=NTDS Settings,CN=DC1,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=contoso,DC=com";
pub const DIRECTORY_SERVICE: &str =
    "CN=Directory Service,CN=Windows NT,CN=Services,CN=Configuration,DC=contoso,DC=com";
pub const ROOT_KEYS: &str =
    "CN=Master Root Keys,CN=Group Key Distribution Service,CN=Services,CN=Configuration,DC=contoso,DC=com";

pub const USERS: &str = "CN=Users,DC=contoso,DC=com";
pub const MSA: &str = "CN=Managed Service Accounts,DC=contoso,DC=com";
pub const FARMS: &str = "OU=Farms,DC=contoso,DC=com";
pub const HOSTS: &str = "OU=Servers,DC=contoso,DC=com";
pub const ADMINISTRATOR: &str = "CN=Administrator,CN=Users,DC=contoso,DC=com";
pub const SERVICE_ACCOUNT: &str = "CN=svc-orchestrator,CN=Users,DC=contoso,DC=com";

/// RIDs that every domain has.
pub mod rid {
    pub const ADMINISTRATOR: u32 = 500;
    pub const DOMAIN_ADMINS: u32 = 512;
    pub const DOMAIN_USERS: u32 = 513;
    pub const DOMAIN_COMPUTERS: u32 = 515;
    pub const DOMAIN_CONTROLLERS: u32 = 516;
}

/// A name that stands in this program's text.
pub fn known(text: &str) -> Dn {
    #[expect(clippy::expect_used, reason = "the names of this file, which a test parses")]
    Dn::parse(text).expect("a DN of our own")
}
