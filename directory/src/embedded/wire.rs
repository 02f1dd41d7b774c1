//! LDAP messages on a byte stream.

use std::io;

use ldap3_lber::common::TagClass;
use ldap3_lber::parse::{DEFAULT_MAX_BER_DEPTH, Parser};
use ldap3_lber::structure::{PL, StructureTag};
use ldap3_proto::LdapCodec;
use ldap3_proto::proto::LdapMsg;
use tokio_util::bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::filter::Filter;

/// MaxReceiveBuffer of the default query policy.
const MAX_REQUEST_BYTES: usize = 10 << 20;
const SEARCH_REQUEST: u64 = 3;
const FILTER_AT: usize = 6;

pub struct Request {
    pub message: LdapMsg,
    /// The filter of a search, which in `message` is a stand-in.
    pub filter: Option<Filter>,
}

#[derive(Default)]
pub struct Wire {
    codec: LdapCodec,
}

impl Decoder for Wire {
    type Item = Request;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Request>> {
        let Some(size) = message_size(buffer)? else { return Ok(None) };
        if size > MAX_REQUEST_BYTES {
            return Err(malformed("a message that is too large"));
        }
        if buffer.len() < size {
            buffer.reserve(size - buffer.len());
            return Ok(None);
        }
        let mut parser = Parser::new(DEFAULT_MAX_BER_DEPTH);
        let parsed = parser.parse(&buffer[..size]).map(|(_, tag)| tag);
        let mut tag = parsed.map_err(|_| malformed("a message that is no BER"))?;
        buffer.advance(size);
        let filter = take_filter(&mut tag)?;
        let message = LdapMsg::try_from(tag).map_err(io::Error::other)?;
        Ok(Some(Request { message, filter }))
    }
}

impl Encoder<LdapMsg> for Wire {
    type Error = io::Error;

    fn encode(&mut self, message: LdapMsg, buffer: &mut BytesMut) -> io::Result<()> {
        self.codec.encode(message, buffer)
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Header and content together, once the header is there (X.690, 8.1.3): parsing a large message
/// anew for every packet of it would take time that grows with the square of its size.
fn message_size(bytes: &[u8]) -> io::Result<Option<usize>> {
    let [tag, first, rest @ ..] = bytes else { return Ok(None) };
    if *tag != 0x30 {
        return Err(malformed("a message that is no LDAP"));
    }
    if *first < 0x80 {
        return Ok(Some(2 + usize::from(*first)));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Err(malformed("a length that LDAP does not allow"));
    }
    let Some(digits) = rest.get(..count) else { return Ok(None) };
    let length = digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
    Ok(Some(2 + count + length))
}

fn take_filter(message: &mut StructureTag) -> io::Result<Option<Filter>> {
    let PL::C(parts) = &mut message.payload else { return Ok(None) };
    let Some(operation) = parts.get_mut(1) else { return Ok(None) };
    if operation.class != TagClass::Application || operation.id != SEARCH_REQUEST {
        return Ok(None);
    }
    let PL::C(fields) = &mut operation.payload else { return Ok(None) };
    let Some(field) = fields.get_mut(FILTER_AT) else { return Ok(None) };
    let stand_in = StructureTag { class: TagClass::Context, id: 7, payload: PL::P(b"objectClass".to_vec()) };
    let filter = Filter::decode(std::mem::replace(field, stand_in));
    filter.map(Some).ok_or_else(|| malformed("a filter that cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_awaited_whole_and_limited_in_size() {
        assert_eq!(message_size(&[0x30]).expect("fits"), None);
        assert_eq!(message_size(&[0x30, 5]).expect("fits"), Some(7));
        assert_eq!(message_size(&[0x30, 0x82, 1, 0]).expect("fits"), Some(260));
        assert_eq!(message_size(&[0x30, 0x84, 0]).expect("fits"), None);
        assert!(message_size(&[0x16, 3]).is_err());
        assert!(message_size(&[0x30, 0x80]).is_err());
        let mut large = BytesMut::from(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff][..]);
        assert!(Wire::default().decode(&mut large).is_err());
    }
}
