"""Answers for the tests beside it, from Samba's own code. One JSON document in, one out."""

import json
import sys

import samba.security
from samba.dcerpc import gkdi, security
from samba.ndr import ndr_pack, ndr_unpack

DOMAIN = security.dom_sid("S-1-5-21-1-2-3")
READ_PROPERTY = 0x10


def token(sids):
    made = security.token()
    made.sids = [security.dom_sid(sid) for sid in sids]
    made.num_sids = len(sids)
    return made


def may_read(descriptor, sids):
    try:
        samba.security.access_check(descriptor, token(sids), READ_PROPERTY)
        return True
    except Exception as error:  # NTSTATUSError: access denied
        if "Access Denied" in str(error):
            return False
        raise


def judge(case):
    raw = bytes.fromhex(case["bytes"])
    descriptor = ndr_unpack(security.descriptor, raw)
    sddl = descriptor.as_sddl(DOMAIN)
    again = security.descriptor.from_sddl(sddl, DOMAIN)
    return {
        "sddl": sddl,
        "repacked": ndr_pack(descriptor).hex(),
        "through_sddl": ndr_pack(again).hex(),
        # The binding is the check for files, which hears object entries that deny; the one for
        # directory attributes hears none. They are taken out for this question.
        "may_read": may_read(ndr_unpack(security.descriptor, bytes.fromhex(case["plain"])), case["token"]),
    }


def build(sddl):
    return ndr_pack(security.descriptor.from_sddl(sddl, DOMAIN)).hex()


def password_id(raw):
    key = ndr_unpack(gkdi.KeyEnvelope, bytes.fromhex(raw))
    return {
        "l0": key.l0_index,
        "l1": key.l1_index,
        "l2": key.l2_index,
        "root_key": str(key.root_key_id),
        "domain": key.domain_name,
        "forest": key.forest_name,
        "repacked": ndr_pack(key).hex(),
    }


asked = json.load(sys.stdin)
json.dump(
    {
        "judged": [judge(case) for case in asked["descriptors"]],
        "built": [build(sddl) for sddl in asked["sddl"]],
        "password_ids": [password_id(raw) for raw in asked["password_ids"]],
    },
    sys.stdout,
)
