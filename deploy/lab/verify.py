"""Proves the rights of the delegated accounts over an LDAPS simple bind: what must work, what must be refused.
Exit status 1 if any line is not as expected."""
import os, sys
import ldap, ldap.modlist
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack

E = os.environ
BASE, MSA, FARMS = E["LAB_BASE"], E["LAB_GMSA_CONTAINER"], E["LAB_GROUP_OU"]
ldap.set_option(ldap.OPT_X_TLS_CACERTFILE, E["LAB_CA"])
bad = 0


def bind(dn, pw):
    c = ldap.initialize(E["LAB_LDAP_URL"]); c.set_option(ldap.OPT_REFERRALS, 0); c.simple_bind_s(dn, pw); return c


def show(want, what, fn):
    global bad
    try:
        r = fn(); got = "allowed" if r is not False else "denied (attribute not returned)"
    except ldap.LDAPError as e:
        d = e.args[0]; got = f"denied ({d.get('result')} {d.get('desc')}: {d.get('info', '').strip()[:90]})"
    ok = got.startswith(want); bad += not ok
    print(f"{'ok  ' if ok else 'BAD '} {what}: {got}")


a, s, l = (bind(E[f"LAB_{who}_DN"], E[f"LAB_{who}_PASSWORD"]) for who in ("ADMIN", "SVC", "LIMITED"))
sid = lambda dn: ndr_unpack(security.dom_sid, a.search_s(dn, ldap.SCOPE_BASE, attrlist=["objectSid"])[0][1]["objectSid"][0])
add = lambda dn, by=s, **kv: lambda: by.add_s(dn, [(k.replace("_", "-"), [x if isinstance(x, bytes) else x.encode() for x in (v if isinstance(v, list) else [v])]) for k, v in kv.items()])
mod = lambda dn, op, k, *v, by=s: lambda: by.modify_s(dn, [(op, k, [x if isinstance(x, bytes) else x.encode() for x in v] or None)])
ADD, DEL, REP = ldap.MOD_ADD, ldap.MOD_DELETE, ldap.MOD_REPLACE
g, g2, m, h = f"CN=vfyHosts,{FARMS}", f"CN=vfyLimited,{FARMS}", f"CN=vfy1,{MSA}", f"CN=Host1,{E['LAB_HOST_OU']}"
gm = dict(objectClass="msDS-GroupManagedServiceAccount", dNSHostName="vfy1.contoso.com", msDS_ManagedPasswordInterval="30",
          msDS_SupportedEncryptionTypes="28")
for dn in (m, g, g2):                                       # rests of a broken run
    try: a.delete_s(dn)
    except ldap.NO_SUCH_OBJECT: pass
show("allowed", "create group in OU=Farms", add(g, objectClass="group", sAMAccountName="vfyHosts"))
show("allowed", "add member", mod(g, ADD, "member", h))
show("allowed", "remove member", mod(g, DEL, "member", h))
show("allowed", "write group description", mod(g, REP, "description", "x"))
sd = ndr_pack(security.descriptor.from_sddl(f"O:S-1-5-32-544D:(A;;0xf01ff;;;{sid(g)})", security.dom_sid()))
show("allowed", "create gMSA with SPNs and msDS-GroupMSAMembership", add(m, sAMAccountName="vfy1$", userAccountControl="4096",
     servicePrincipalName=["http/vfy1.contoso.com", "http/vfy1"], msDS_GroupMSAMembership=sd, **gm))
show("allowed", "add SPN to gMSA", mod(m, ADD, "servicePrincipalName", "http/vfy1.contoso.com:8080"))
show("allowed", "change dNSHostName of gMSA", mod(m, REP, "dNSHostName", "vfy1b.contoso.com"))
show("allowed", "change description of gMSA", mod(m, REP, "description", "x"))
show("allowed", "change msDS-GroupMSAMembership", mod(m, REP, "msDS-GroupMSAMembership", sd))
show("allowed", "read msDS-ManagedPasswordId", lambda: "msDS-ManagedPasswordId" in s.search_s(m, ldap.SCOPE_BASE, attrlist=["msDS-ManagedPasswordId"])[0][1])
show("allowed", "disable gMSA", mod(m, REP, "userAccountControl", "4098"))
show("denied", "read msDS-ManagedPassword", lambda: "msDS-ManagedPassword" in s.search_s(m, ldap.SCOPE_BASE, attrlist=["msDS-ManagedPassword"])[0][1])
show("denied", "set TRUSTED_FOR_DELEGATION on gMSA", mod(m, REP, "userAccountControl", str(4096 | 0x80000)))
show("denied", "create user in OU=Farms", add(f"CN=vfyu,{FARMS}", objectClass="user", sAMAccountName="vfyu"))
show("denied", "create gMSA in OU=Farms", add(f"CN=vfy2,{FARMS}", sAMAccountName="vfy2$", **gm))
show("denied", "create gMSA in CN=Computers", add(f"CN=vfy3,CN=Computers,{BASE}", sAMAccountName="vfy3$", **gm))
show("denied", "create user in gMSA container", add(f"CN=vfyv,{MSA}", objectClass="user", sAMAccountName="vfyv"))
show("denied", "create group in CN=Users", add(f"CN=vfyg2,CN=Users,{BASE}", objectClass="group", sAMAccountName="vfyg2"))
show("denied", "create OU below OU=Farms", add(f"OU=vfyo,{FARMS}", objectClass="organizationalUnit"))
show("denied", "add itself to Domain Admins", mod(f"CN=Domain Admins,CN=Users,{BASE}", ADD, "member", E["LAB_SVC_DN"]))
show("denied", "write description of Host1", mod(h, REP, "description", "x"))
show("denied", "delete Host1", lambda: s.delete_s(h))
show("denied", "reset Administrator's password", mod(E["LAB_ADMIN_DN"], REP, "unicodePwd", '"Abc123!x"'.encode("utf-16-le")))
show("denied", "write sAMAccountName of group not its own", mod(f"CN=Domain Guests,CN=Users,{BASE}", REP, "description", "x"))
show("denied", "delete OU=Farms", lambda: s.delete_s(FARMS))
show("denied", "make a KDS root key", add(f"CN=11111111-2222-3333-4444-555555555555,CN=Master Root Keys,CN=Group Key Distribution Service,CN=Services,CN=Configuration,{BASE}", objectClass="msKds-ProvRootKey"))
show("allowed", "delete gMSA", lambda: s.delete_s(m))
show("allowed", "delete group", lambda: s.delete_s(g))
show("allowed", "limited account: create group in OU=Farms", add(g2, by=l, objectClass="group", sAMAccountName="vfyLimited"))
show("allowed", "limited account: add member", mod(g2, ADD, "member", h, by=l))
show("denied", "limited account: create gMSA", add(m, by=l, sAMAccountName="vfy1$", userAccountControl="4096", **gm))
show("denied", "limited account: disable Host1", mod(h, REP, "userAccountControl", "4098", by=l))
show("allowed", "limited account: delete group", lambda: l.delete_s(g2))
sys.exit(bad > 0)
