"""Parts of the lab that need NDR or ldb; called by the bash scripts beside it. Runs on Debian's python3 with python3-samba."""
import hashlib, os, struct, subprocess, sys, time
import ldb
from samba.auth import system_session
from samba.credentials import Credentials, DONT_USE_KERBEROS, MUST_USE_KERBEROS
from samba.crypto import md4_hash_blob
from samba.dcerpc import gmsa, security
from samba.dsdb import DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

E = os.environ
BASE = E["LAB_BASE"]
SVC, LIMITED = f"CN=svc-farmhand,CN=Users,{BASE}", f"CN=svc-limited,CN=Users,{BASE}"
MSA = f"CN=Managed Service Accounts,{BASE}"
# schemaIDGUIDs, the same in every Active Directory
GMSA_CLASS, GROUP_CLASS = "7b8b558a-93a5-4af7-adca-c017e67f1057", "bf967a9c-0de6-11d0-a285-00aa003049e2"
MEMBER, DESCRIPTION = "bf9679c0-0de6-11d0-a285-00aa003049e2", "bf967950-0de6-11d0-a285-00aa003049e2"
COMPUTER_CLASS, ACCOUNT_CONTROL = "bf967a86-0de6-11d0-a285-00aa003049e2", "bf967a68-0de6-11d0-a285-00aa003049e2"


def local():
    """The DC's own database, as SYSTEM (works with samba running or not)."""
    lp = LoadParm(); lp.load(E["SMB_CONF_PATH"])
    return SamDB(url=lp.private_path("sam.ldb"), session_info=system_session(), lp=lp)


def ensure(db, msg):
    try:
        db.add(msg)
    except ldb.LdbError as e:
        if e.args[0] != ldb.ERR_ENTRY_ALREADY_EXISTS:
            raise


def add_account(db, dn, password):
    """A user with a known password that never expires; gives its SID."""
    ensure(db, {"dn": dn, "objectClass": "user", "sAMAccountName": dn[3:dn.index(",")], "userAccountControl": "66048",
                "clearTextPassword": password.encode("utf-16-le")})
    return ndr_unpack(security.dom_sid, db.search(dn, ldb.SCOPE_BASE, attrs=["objectSid"])[0]["objectSid"][0])


def ldap_names(db):
    """ldap/ service names are not covered by HOST/; a client that binds to localhost asks the KDC for ldap/localhost,
    and libldap puts this machine's own name in its place. LAB_SPN: DC[:EXTRA,EXTRA] ..."""
    for dc in E.get("LAB_SPN", "").split():
        name, _, extra = dc.partition(":")
        want = [f"ldap/{name}", f"ldap/{name}.{E['LAB_DNS']}", f"ldap/{name}.{E['LAB_DNS']}/{E['LAB_DNS']}",
                f"GC/{name}.{E['LAB_DNS']}/{E['LAB_DNS']}"] + [f"ldap/{x}" for x in extra.split(",") if x]
        m = db.search(BASE, expression=f"(sAMAccountName={name}$)", attrs=["servicePrincipalName"])[0]
        want = [w for w in want if w.lower() not in {str(v).lower() for v in m["servicePrincipalName"]}]
        if want:
            u = ldb.Message(m.dn); u["a"] = ldb.MessageElement(want, ldb.FLAG_MOD_ADD, "servicePrincipalName"); db.modify(u)


def base():
    """OUs, the delegated accounts and their access rights. Nothing else is granted to them."""
    db = local()
    for ou in ("Farms", "Servers"):
        ensure(db, {"dn": f"OU={ou},{BASE}", "objectClass": "organizationalUnit"})
    # the lab's passwords never expire, also when ad-age moves the clock
    m = ldb.Message(ldb.Dn(db, BASE)); m["a"] = ldb.MessageElement(str(-2 ** 63), ldb.FLAG_MOD_REPLACE, "maxPwdAge"); db.modify(m)
    ldap_names(db)
    svc, limited = add_account(db, SVC, E["LAB_SVC_PASSWORD"]), add_account(db, LIMITED, E["LAB_LIMITED_PASSWORD"])
    sd = SDUtils(db)
    # gMSAs of one container: create and delete them; write any property, read and change the DACL is left to the owner
    sd.dacl_add_ace(MSA, f"(OA;;CCDC;{GMSA_CLASS};;{svc})(OA;CIIO;RPWPSWRCSD;;{GMSA_CLASS};{svc})")
    # groups of one OU: create and delete them, write member and description. The limited account has these rights and
    # none on gMSAs, so whatever it begins is refused in the middle.
    for sid in (svc, limited):
        sd.dacl_add_ace(f"OU=Farms,{BASE}", f"(OA;;CCDC;{GROUP_CLASS};;{sid})(OA;CIIO;RPWP;{MEMBER};{GROUP_CLASS};{sid})"
                        f"(OA;CIIO;RPWP;{DESCRIPTION};{GROUP_CLASS};{sid})(OA;CIIO;SD;;{GROUP_CLASS};{sid})")
    # member hosts of one OU: disable and enable them (a compromised host), nothing else
    sd.dacl_add_ace(f"OU=Servers,{BASE}", f"(OA;CIIO;RPWP;{ACCOUNT_CONTROL};{COMPUTER_CLASS};{svc})")


def seed(n):
    """Computer accounts Host1..HostN with known passwords, written in batches straight into the DC's database.
    Kerberos AES keys cost 20 ms a host, so only the first LAB_AES_HOSTS have them; the others get the NT hash
    alone (2 ms): NTLM, simple bind and RC4 Kerberos work for them too."""
    aes = int(E.get("LAB_AES_HOSTS", "50"))
    db = local(); t0 = time.time(); done = 0
    have = {str(m["cn"][0]) for m in db.search(f"OU=Servers,{BASE}", ldb.SCOPE_ONELEVEL, "(objectClass=computer)", attrs=["cn"])}
    todo = [f"Host{i}" for i in range(1, n + 1) if f"Host{i}" not in have]
    for at in range(0, len(todo), 500):
        db.transaction_start()
        try:
            for h in todo[at:at + 500]:
                pw = (E["LAB_HOST_PASSWORD"] + h).encode("utf-16-le"); full = int(h[4:]) <= aes
                db.add({"dn": f"CN={h},OU=Servers,{BASE}", "objectClass": "computer", "sAMAccountName": h + "$",
                        "userAccountControl": "4096", "dNSHostName": f"{h.lower()}.{E['LAB_DNS']}",
                        "servicePrincipalName": [f"HOST/{h}", f"HOST/{h.lower()}.{E['LAB_DNS']}"],
                        **({"clearTextPassword": pw} if full else {"unicodePwd": md4_hash_blob(pw)})},
                       controls=[] if full else [f"local_oid:{DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID}:0"])
                done += 1
        except BaseException:
            db.transaction_cancel(); raise
        db.transaction_commit()
    print(f"{done} computer accounts added, {len(have)} were there, {time.time() - t0:.1f} s")


def seed_gmsa(n):
    """gMSAs Bulk00001.. with 2 SPNs and a membership SD. Samba derives password and keys inside the write: about 75 ms each."""
    db = local(); t0 = time.time(); done = 0
    have = {str(m["cn"][0]) for m in db.search(MSA, ldb.SCOPE_ONELEVEL, "(cn=Bulk*)", attrs=["cn"])}
    sd = ndr_pack(security.descriptor.from_sddl("O:S-1-5-32-544D:(A;;0xf01ff;;;S-1-5-32-544)", security.dom_sid()))
    todo = [f"Bulk{i:05d}" for i in range(1, n + 1) if f"Bulk{i:05d}" not in have]
    for at in range(0, len(todo), 100):
        db.transaction_start()
        try:
            for g in todo[at:at + 100]:
                db.add({"dn": f"CN={g},{MSA}", "objectClass": "msDS-GroupManagedServiceAccount", "sAMAccountName": g + "$",
                        "userAccountControl": "4096", "dNSHostName": f"{g.lower()}.{E['LAB_DNS']}", "msDS-ManagedPasswordInterval": "30",
                        "msDS-SupportedEncryptionTypes": "28", "msDS-GroupMSAMembership": sd,
                        "servicePrincipalName": [f"http/{g}", f"http/{g.lower()}.{E['LAB_DNS']}"]})
                done += 1
        except BaseException:
            db.transaction_cancel(); raise
        db.transaction_commit()
    print(f"{done} gMSAs added, {len(have)} were there, {time.time() - t0:.1f} s")


def creds_for(name, password, auth, lp):
    c = Credentials(); c.guess(lp); c.set_username(name); c.set_password(password); c.set_realm(E["LAB_REALM"]); c.set_domain("CONTOSO")
    c.set_kerberos_state(MUST_USE_KERBEROS if auth == "krb5" else DONT_USE_KERBEROS)
    if auth == "simple":
        c.set_bind_dn(f"CONTOSO\\{name}")
    return c


def read_blob(db, name):
    """(msDS-ManagedPassword or None, message) of one gMSA."""
    m = db.search(BASE, expression=f"(sAMAccountName={name}$)", attrs=["1.1"])
    if not m:
        print(f"error: no gMSA {name}"); sys.exit(2)
    m = db.search(m[0].dn, ldb.SCOPE_BASE, attrs=["msDS-ManagedPassword", "msDS-KeyVersionNumber", "pwdLastSet", "msDS-ManagedPasswordId"])[0]
    return (m["msDS-ManagedPassword"][0] if "msDS-ManagedPassword" in m else None), m


def as_host(host, name, *opts):
    o = dict(zip(opts[::2], opts[1::2])); auth, url = o.get("--auth", "krb5"), o["--url"]
    lp = LoadParm(); lp.load(E["SMB_CONF_PATH"])
    new_creds = lambda: creds_for(host + "$", E["LAB_HOST_PASSWORD"] + host, auth, lp)
    c = new_creds(); db = None
    for line in (sys.stdin if o["--hold"] == "1" else [""]):
        how, *other = line.split() or ["same"]; name = other[0] if other else name
        try:
            if db is None or how in ("session", "ticket"):
                fresh = new_creds() if how == "ticket" else c
                db = SamDB(url=url, credentials=fresh, lp=lp); c = fresh     # who gets no new ticket still has the old one
            got = "password" if read_blob(db, name)[0] else "denied"
        except (ldb.LdbError, RuntimeError) as e:
            # what Samba says of an account that lets nobody read: it has no membership at all
            got = "denied" if "no right to view attribute" in str(e) else f"error {e.args}"
        print(got, flush=True)
    sys.exit({"p": 0, "d": 1}.get(got[0], 2))


def aes_key(password, salt, size):
    """RFC 3962 string-to-key. (python-samba's Credentials.get_kerberos_key gave keys the KDC refuses.)"""
    k = hashlib.pbkdf2_hmac("sha1", password, salt, 4096, size)
    aes = lambda b: subprocess.run(["openssl", "enc", f"-aes-{size * 8}-ecb", "-K", k.hex(), "-nopad"], input=b, capture_output=True, check=True).stdout
    a = aes(bytes.fromhex("6b65726265726f737b9b5b2b93132b93"))       # "kerberos", folded to 128 bits
    return a if size == 16 else a + aes(a)


def keytab(host, name, out, url):
    """Keytab of a gMSA from its password blob, read as that host: RC4 is the NT hash; AES salts are those of a computer account."""
    lp = LoadParm(); lp.load(E["SMB_CONF_PATH"])
    blob, m = read_blob(SamDB(url=url, credentials=creds_for(host + "$", E["LAB_HOST_PASSWORD"] + host, "krb5", lp), lp=lp), name)
    if blob is None:
        print("denied"); sys.exit(1)
    p = ndr_unpack(gmsa.MANAGEDPASSWORD_BLOB, blob).passwords
    realm, kvno = E["LAB_REALM"], int(str(m["msDS-KeyVersionNumber"][0]))
    data = b"\x05\x02"; cs = lambda s: struct.pack(">H", len(s)) + s.encode()
    for pw, kv in ((p.current, kvno), (p.previous, kvno - 1)):
        if not pw:
            continue
        for etype in (18, 17, 23):                       # aes256, aes128, rc4
            key = md4_hash_blob(bytes(pw)) if etype == 23 else aes_key(bytes(pw).decode("utf-16-le", "replace").encode(),
                      f"{realm}host{name.lower()}.{realm.lower()}".encode(), 32 if etype == 18 else 16)
            e = struct.pack(">H", 1) + cs(realm) + cs(name + "$") + struct.pack(">IIBHH", 1, int(time.time()), kv & 255, etype, len(key)) + bytes(key) + struct.pack(">I", kv)
            data += struct.pack(">i", len(e)) + e
    fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600); os.write(fd, data); os.close(fd)
    print(f"kvno {kvno}, next password in {p.query_interval / 1e7 / 86400:.2f} days")


if __name__ == "__main__":
    {"base": base, "seed": lambda: seed(int(sys.argv[2])), "gmsa": lambda: seed_gmsa(int(sys.argv[2])), "as-host": lambda: as_host(*sys.argv[2:]),
     "keytab": lambda: keytab(*sys.argv[2:])}[sys.argv[1]]()
